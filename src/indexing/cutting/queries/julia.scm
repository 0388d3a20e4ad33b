(function_definition (signature (call_expression . (identifier) @name))) @function
(function_definition (signature (typed_expression (call_expression . (identifier) @name)))) @function
(function_definition (signature (where_expression (call_expression . (identifier) @name)))) @function
(assignment . (call_expression . (identifier) @name)) @function
(macro_definition (signature (call_expression . (identifier) @name))) @macro
(struct_definition (type_head [(identifier) @name (binary_expression . (identifier) @name) (binary_expression . (parametrized_type_expression . (identifier) @name)) (parametrized_type_expression . (identifier) @name)])) @struct
(abstract_definition (type_head [(identifier) @name (binary_expression . (identifier) @name)])) @type
(module_definition name: (identifier) @name) @module
(const_statement (assignment . (identifier) @name)) @constant
(import_statement [(identifier) (import_path)] @import)
(import_statement (selected_import . (_) @import))
(using_statement [(identifier) (import_path)] @import)
(using_statement (selected_import . (_) @import))
