(class_declaration name: (identifier) @name) @class
(record_declaration name: (identifier) @name) @class
(interface_declaration name: (identifier) @name) @interface
(annotation_type_declaration name: (identifier) @name) @interface
(enum_declaration name: (identifier) @name) @enum
(method_declaration name: (identifier) @name) @method
(constructor_declaration name: (identifier) @name) @method
(compact_constructor_declaration name: (identifier) @name) @method
(class_body (field_declaration (modifiers "static" "final") declarator: (variable_declarator name: (identifier) @name)) @constant)
(interface_body (constant_declaration declarator: (variable_declarator name: (identifier) @name)) @constant)
(enum_constant name: (identifier) @name) @constant
(import_declaration) @import
