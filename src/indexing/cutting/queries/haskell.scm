(function name: (variable) @name) @function
(bind name: (variable) @name) @function
(data_type name: (name) @name) @type
(newtype name: (name) @name) @type
(type_synomym name: (name) @name) @type
(class name: (name) @name) @interface
(import module: (module) @import)
