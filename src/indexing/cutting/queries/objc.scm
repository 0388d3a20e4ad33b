; inherits: c
(class_interface . "@interface" . (identifier) @name) @class
(class_implementation . "@implementation" . (identifier) @name) @class
(protocol_declaration . "@protocol" . (identifier) @name) @interface
(method_definition (identifier) @name) @method
(method_declaration (identifier) @name) @method
