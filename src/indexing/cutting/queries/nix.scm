(binding attrpath: (attrpath) @name expression: (function_expression)) @function
