(class_declaration (identifier) @name) @class
(struct_declaration (identifier) @name) @struct
(interface_declaration (identifier) @name) @interface
(enum_declaration (identifier) @name) @enum
(function_declaration (identifier) @name) @function
