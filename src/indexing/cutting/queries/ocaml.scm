(value_definition (let_binding pattern: (value_name) @name (parameter))) @function
(value_definition (let_binding pattern: (value_name) @name body: (fun_expression))) @function
(value_definition (let_binding pattern: (value_name) @name body: (function_expression))) @function
(compilation_unit (value_definition (let_binding pattern: (value_name) @name)) @variable)
(type_definition (type_binding name: (type_constructor) @name)) @type
(module_definition (module_binding (module_name) @name)) @module
(module_type_definition (module_type_name) @name) @interface
(class_definition (class_binding name: (class_name) @name)) @class
(method_definition name: (method_name) @name) @method
(external (value_name) @name) @function
(open_module module: (module_path) @import)
