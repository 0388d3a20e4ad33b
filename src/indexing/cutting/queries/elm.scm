(value_declaration (function_declaration_left . (lower_case_identifier) @name)) @function
(type_declaration name: (_) @name) @type
(type_alias_declaration name: (_) @name) @type
