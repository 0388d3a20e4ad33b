(class_declaration "class" . name: (type_identifier) @name) @class
(class_declaration "actor" . name: (type_identifier) @name) @class
(class_declaration "struct" . name: (type_identifier) @name) @struct
(class_declaration "enum" . name: (type_identifier) @name) @enum
(class_declaration "extension" . name: (user_type (type_identifier) @name)) @scope
(protocol_declaration name: (type_identifier) @name) @interface
(function_declaration "func" . name: (_) @name) @function
(protocol_function_declaration "func" . name: (_) @name) @function
(init_declaration "init" @name) @method
(typealias_declaration name: (type_identifier) @name) @type
(source_file (property_declaration name: (pattern bound_identifier: (simple_identifier) @name)) @variable)
(import_declaration) @import
