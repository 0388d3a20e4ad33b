(function (function_statement name: (name) @name)) @function
(subroutine (subroutine_statement name: (name) @name)) @function
(module (module_statement (name) @name)) @module
(program (program_statement (name) @name)) @module
(use_statement (module_name) @import)
