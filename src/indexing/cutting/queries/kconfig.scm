(config (name) @name) @constant
(menuconfig (name) @name) @constant
(choice (name) @name) @constant
