(class_declaration name: (_) @name) @class
(abstract_class_declaration name: (_) @name) @class
(export_statement declaration: (class_declaration name: (_) @name)) @class
(export_statement declaration: (abstract_class_declaration name: (_) @name)) @class
(interface_declaration name: (_) @name) @interface
(export_statement declaration: (interface_declaration name: (_) @name)) @interface
(enum_declaration name: (_) @name) @enum
(export_statement declaration: (enum_declaration name: (_) @name)) @enum
(type_alias_declaration name: (_) @name) @type
(export_statement declaration: (type_alias_declaration name: (_) @name)) @type
(internal_module name: (_) @name) @module
(module name: (_) @name) @module
(function_declaration name: (_) @name) @function
(function_signature name: (_) @name) @function
(generator_function_declaration name: (_) @name) @function
(export_statement declaration: (function_declaration name: (_) @name)) @function
(export_statement declaration: (generator_function_declaration name: (_) @name)) @function
(method_definition name: [(property_identifier) (private_property_identifier)] @name) @method
(method_signature name: (property_identifier) @name) @method
(abstract_method_signature name: (property_identifier) @name) @method
(public_field_definition name: [(property_identifier) (private_property_identifier)] @name value: (arrow_function)) @method
(variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)]) @function
(lexical_declaration (variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)])) @function
(export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name value: [(arrow_function) (function_expression)]))) @function
(pair key: (property_identifier) @name value: [(arrow_function) (function_expression)]) @method
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @variable)
(program (export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name))) @variable)
(import_statement source: (string) @import)
(export_statement source: (string) @import)
(import_require_clause source: (string) @import)
(call_expression function: (identifier) @_require arguments: (arguments . (string) @import) (#eq? @_require "require"))
(call_expression function: (import) arguments: (arguments . (string) @import))
