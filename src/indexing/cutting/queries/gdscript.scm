(function_definition name: (name) @name) @function
(class_definition name: (name) @name) @class
(class_name_statement name: (name) @name) @class
(enum_definition name: (name) @name) @enum
