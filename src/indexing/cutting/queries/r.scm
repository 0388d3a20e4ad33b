(binary_operator lhs: [(identifier) (string)] @name rhs: (function_definition)) @function
(call function: (identifier) @_library arguments: (arguments . (argument value: (_) @import)) (#match? @_library "^(library|require|source)$"))
