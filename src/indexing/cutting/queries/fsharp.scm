(function_or_value_defn (function_declaration_left . (identifier) @name)) @function
(module_defn (identifier) @name) @module
