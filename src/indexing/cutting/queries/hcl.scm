(block (identifier) @_kind . (string_lit (template_literal) @name) . (block_start)) @module
(block (identifier) @_kind (string_lit) . (string_lit (template_literal) @name) . (block_start)) @struct
