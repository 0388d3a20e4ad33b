(class_declaration "interface" (type_identifier) @name) @interface
(class_declaration (type_identifier) @name (enum_class_body)) @enum
(class_declaration "class" (type_identifier) @name) @class
(object_declaration (type_identifier) @name) @class
(companion_object (type_identifier) @name) @class
(function_declaration (simple_identifier) @name) @function
(type_alias (type_identifier) @name) @type
(enum_entry (simple_identifier) @name) @constant
(source_file (property_declaration (variable_declaration (simple_identifier) @name)) @variable)
(import_header (identifier) @import)
