(struct_definition . "struct" . (identifier) @name) @struct
(service_definition . "service" . (identifier) @name) @interface
(enum_definition . "enum" . (identifier) @name) @enum
