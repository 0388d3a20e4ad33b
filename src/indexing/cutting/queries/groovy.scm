(command . (unit (identifier) @_kind) . (block . (unit (identifier) @name)) (#match? @_kind "^(class|interface|enum|trait)$")) @class
(_ (unit (identifier) @_def) . (block . (unit (func . (identifier) @name))) (#match? @_def "^(def|void|public|private|static|String|int|boolean)$")) @function
