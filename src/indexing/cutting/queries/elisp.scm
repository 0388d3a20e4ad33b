(function_definition name: (symbol) @name) @function
(macro_definition name: (symbol) @name) @macro
