(subroutine_declaration_statement name: (bareword) @name) @function
(package_statement name: (package) @name) @module
(use_statement module: (package) @import)
