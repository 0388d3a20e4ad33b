(object_type_definition (name) @name) @struct
(interface_type_definition (name) @name) @interface
(enum_type_definition (name) @name) @enum
(input_object_type_definition (name) @name) @struct
(union_type_definition (name) @name) @type
(scalar_type_definition (name) @name) @type
