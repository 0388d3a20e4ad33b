(module_declaration (module_header (simple_identifier) @name)) @module
