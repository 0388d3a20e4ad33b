(proc_declaration name: (_) @name) @function
(func_declaration name: (_) @name) @function
(template_declaration name: (_) @name) @macro
(macro_declaration name: (_) @name) @macro
