(list_lit . (sym_lit) @_def . (sym_lit name: (sym_name) @name) (#match? @_def "^(defn|defn-|defmacro|defmulti|defmethod)$")) @function
(list_lit . (sym_lit) @_def . (sym_lit name: (sym_name) @name) (#match? @_def "^(defprotocol|defrecord|deftype)$")) @class
(list_lit . (sym_lit) @_def . (sym_lit name: (sym_name) @name) (#eq? @_def "def")) @variable
(list_lit . (sym_lit) @_def . (sym_lit name: (sym_name) @name) (#eq? @_def "ns")) @module
