(fun_decl clause: (function_clause name: (atom) @name)) @function
(module_attribute name: (atom) @name) @module
(record_decl name: (atom) @name) @struct
(pp_define lhs: (macro_lhs name: (_) @name)) @macro
