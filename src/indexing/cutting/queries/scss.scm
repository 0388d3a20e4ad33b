(mixin_statement name: (identifier) @name) @function
(function_statement name: (identifier) @name) @function
(import_statement (_) @import)
