(value_specification (value_name) @name) @function
(type_definition (type_binding name: (type_constructor) @name)) @type
(module_definition (module_binding (module_name) @name)) @module
(module_type_definition (module_type_name) @name) @interface
(external (value_name) @name) @function
(open_module module: (module_path) @import)
