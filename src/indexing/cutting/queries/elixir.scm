(call target: (identifier) @_def (arguments . [(identifier) @name (call target: (identifier) @name) (binary_operator left: [(identifier) @name (call target: (identifier) @name)])]) (#match? @_def "^(def|defp|defdelegate|defguard|defguardp)$")) @function
(call target: (identifier) @_def (arguments . [(identifier) @name (call target: (identifier) @name)]) (#match? @_def "^(defmacro|defmacrop)$")) @macro
(call target: (identifier) @_def (arguments . (alias) @name) (#match? @_def "^(defmodule|defprotocol)$")) @module
(call target: (identifier) @_def (arguments . (alias) @name) (#eq? @_def "defimpl")) @class
(call target: (identifier) @_use (arguments . (alias) @import) (#match? @_use "^(alias|import|require|use)$"))
