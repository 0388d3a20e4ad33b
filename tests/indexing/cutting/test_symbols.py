"""Definitions and imports by name, in small sources of many languages."""

from __future__ import annotations

import pytest

from indexing.cutting import cut

SOURCES: dict[str, tuple[str, str, str]] = {
    # language: (source, "scope::name/kind ..." in order, imports)
    "python": (
        """
import os.path, json as j
from . import sibling
from collections.abc import Iterable

LIMIT = 3
handler = None

@decorated(1)
class Outer(Base):
    size = 2
    @property
    def area(self): return 1
    class Inner:
        async def go(self): pass

def top(a, b=2):
    def nested(): pass
""",
        "LIMIT/constant handler/variable Outer/class Outer.area/method Outer.Inner/class Outer.Inner.go/method top/function "
        "top.nested/function",
        "os.path json . collections.abc",
    ),
    "javascript": (
        """
import thing from "./thing.js";
const fs = require('fs');
export { x } from "elsewhere";
export class Shape extends Base {
  #secret() {}
  area() { return 1; }
  handler = () => 1;
}
export default function main() {}
function* gen() {}
const arrow = async (a) => a;
export const exported = function () {};
module.exports.helper = function () {};
const LIMIT = 10;
""",
        "fs/variable Shape/class Shape.#secret/method Shape.area/method Shape.handler/method main/function gen/function "
        "arrow/function exported/function helper/function LIMIT/constant",
        "./thing.js fs elsewhere",
    ),
    "typescript": (
        """
import { A } from "./a";
export interface Point { x: number; move(by: number): void }
export abstract class Base<T> { abstract run(): void; protected go(): T { return this.x } }
enum Color { Red }
type Alias = string | number;
namespace Space { export function inside() {} }
declare function ambient(a: number): void;
export const fn = (a: number): number => a;
""",
        "Point/interface Point.move/method Base/class Base.run/method Base.go/method Color/enum Alias/type Space/module "
        "Space.inside/function ambient/function fn/function",
        "./a",
    ),
    "tsx": (
        "export function App(p: Props) { return <div>{p.x}</div>; }\nconst Item: FC = () => <li/>;\ninterface Props { x: 1 }\n",
        "App/function Item/function Props/interface",
        "",
    ),
    "go": (
        """package main
import (
    "fmt"
    log "example.com/x/log"
)
const Max = 3
var state int
type Server struct { port int }
type Runner interface { Run() error }
type ID = string
type Count int
func main() {}
func (s *Server) Listen(port int) error { return nil }
func (l List[T]) Len() int { return 0 }
""",
        "Max/constant state/variable Server/struct Runner/interface Runner.Run/method ID/type Count/type main/function "
        "Server.Listen/method List.Len/method",
        "fmt example.com/x/log",
    ),
    "rust": (
        """
use std::collections::{HashMap, HashSet};
const LIMIT: usize = 3;
static mut STATE: u8 = 0;
/// A point.
#[derive(Debug)]
pub struct Point { x: f64 }
enum Kind { A, B }
trait Shape { fn area(&self) -> f64; }
impl<T> Shape for Wrapper<T> { fn area(&self) -> f64 { 1.0 } }
mod inner { pub fn deep() {} }
macro_rules! say { () => {} }
type Alias = u8;
fn main() {}
""",
        "LIMIT/constant STATE/constant Point/struct Kind/enum Shape/interface Shape.area/method Wrapper.area/method inner/module "
        "inner.deep/function say/macro Alias/type main/function",
        "std::collections::{HashMap, HashSet}",
    ),
    "java": (
        """package a.b;
import java.util.List;
import static java.lang.Math.*;
public class Main<T> extends Base {
  static final int LIMIT = 3;
  public Main() {}
  @Override public String toString() { return ""; }
  interface Inner { void run(); }
  enum Color { RED }
  record Pair(int a, int b) {}
}
""",
        "Main/class Main.LIMIT/constant Main.Main/method Main.toString/method Main.Inner/interface Main.Inner.run/method "
        "Main.Color/enum Main.Color.RED/constant Main.Pair/class",
        "java.util.List java.lang.Math.*",
    ),
    "c": (
        """
#include <stdio.h>
#include "local.h"
#define LIMIT 3
#define MAX(a, b) ((a) > (b) ? (a) : (b))
struct forward;
struct point { int x; };
typedef struct { int y; } pair_t;
typedef int (*callback_t)(void *);
union either { int i; float f; };
enum color { RED };
int prototype(int a);
static inline int add(int a, int b) { return a + b; }
char *name_of(struct point *p) { return 0; }
char **names(void) { return 0; }
""",
        "LIMIT/macro MAX/macro point/struct pair_t/type callback_t/type either/struct color/enum add/function name_of/function "
        "names/function",
        "stdio.h local.h",
    ),
    "cpp": (
        """
#include <vector>
namespace geo {
class Shape : public Base {
 public:
  Shape();
  ~Shape() {}
  virtual double area() const { return 0; }
  bool operator==(const Shape& o) const { return true; }
};
template <typename T> struct Box { T value; };
template <typename T> T& first(T& a) { return a; }
}
double geo::Shape::scale(double by) { return by; }
using Real = double;
enum class Mode { On };
""",
        "geo/module geo.Shape/class geo.Shape.~Shape/method geo.Shape.area/method geo.Shape.operator==/method geo.Box/struct "
        "geo.first/function geo.scale/method Real/type Mode/enum",
        "vector",
    ),
    "csharp": (
        """using System.Text;
using Alias = System.Collections.Generic;
namespace App.Core {
  public interface IRun { void Run(); }
  [Serializable]
  public class Service : IRun {
    public Service() {}
    public int Count { get; set; }
    public async Task<int> RunAsync(int a) { return a; }
  }
  struct Point { }
  enum Color { Red }
  record Pair(int A);
  delegate void Handler(int a);
}
""",
        "App.Core/module App.Core.IRun/interface App.Core.IRun.Run/method App.Core.Service/class App.Core.Service.Service/method "
        "App.Core.Service.Count/variable App.Core.Service.RunAsync/method App.Core.Point/struct App.Core.Color/enum "
        "App.Core.Pair/class App.Core.Handler/type",
        "System.Text System.Collections.Generic",
    ),
    "ruby": (
        """require 'json'
require_relative "lib/x"
module Shop
  LIMIT = 3
  class Cart < Base
    def total; 1; end
    def self.build(a) = new(a)
    def empty?
      true
    end
  end
end
def helper(x)
  x
end
""",
        "Shop/module Shop.LIMIT/constant Shop.Cart/class Shop.Cart.total/method Shop.Cart.build/method Shop.Cart.empty?/method "
        "helper/function",
        "json lib/x",
    ),
    "php": (
        """<?php
namespace App\\Models;
use App\\Base\\Thing;
require_once 'boot.php';
interface HasName { function name(); }
trait Loud { function shout() {} }
final class User extends Thing { const LIMIT = 3; public function __construct(private int $a) {} }
enum Suit { case Hearts; }
function helper($x) { return $x; }
""",
        "HasName/interface HasName.name/method Loud/class Loud.shout/method User/class User.LIMIT/constant User.__construct/method "
        "Suit/enum helper/function",
        "App\\Base\\Thing boot.php",
    ),
    "kotlin": (
        """package a.b
import kotlin.math.max
const val LIMIT = 3
data class Point(val x: Int) { fun scale(by: Int): Point = this }
interface Shape { fun area(): Double }
object Registry { fun find() {} }
fun String.shout(): String = this
typealias Name = String
""",
        "LIMIT/constant Point/class Point.scale/method Shape/interface Shape.area/method Registry/class Registry.find/method "
        "shout/function Name/type",
        "kotlin.math.max",
    ),
    "swift": (
        """import Foundation
struct Point { var x: Int; func scale(by: Int) -> Point { self } }
class Shape: Base { init(a: Int) {} ; func area() -> Double { 0 } }
protocol Runner { func run() }
enum Color { case red }
extension Point { func moved() -> Point { self } }
func top(a: Int) {}
typealias Name = String
""",
        "Point/struct Point.scale/method Shape/class Shape.init/method Shape.area/method Runner/interface Runner.run/method "
        "Color/enum Point.moved/method top/function Name/type",
        "Foundation",
    ),
    "scala": (
        """package a
import scala.collection.mutable.{Map, Set}
trait Shape { def area: Double }
case class Circle(r: Double) extends Shape { def area = r }
object Main { def main(args: Array[String]): Unit = {} ; type Name = String }
""",
        "Shape/interface Shape.area/method Circle/class Circle.area/method Main/class Main.main/method Main.Name/type",
        "scala.collection.mutable.{Map, Set}",
    ),
    "lua": (
        """local json = require("json")
local function helper(a) return a end
function M.run(x) end
function M:method(y) end
M.field = function() end
local anon = function() end
""",
        "helper/function M.run/method M.method/method field/function anon/function",
        "json",
    ),
    "bash": (
        "source ./lib.sh\nLIMIT=3\nrun_all() { echo hi; }\nfunction other { echo; }\n",
        "LIMIT/constant run_all/function other/function",
        "./lib.sh",
    ),
    "elixir": (
        """defmodule Shop.Cart do
  alias Shop.Item
  use GenServer
  defmacro wrap(x), do: x
  @doc "Adds."
  def add(cart, item) when is_list(cart) do
    cart
  end
  defp secret, do: 1
end
""",
        "Shop.Cart/module Shop.Cart.wrap/macro Shop.Cart.add/function Shop.Cart.secret/function",
        "Shop.Item GenServer",
    ),
    "haskell": (
        """module Main where
import qualified Data.Map as M
data Shape = Circle Double | Square
newtype Name = Name String
type Alias = Int
class Area a where
  area :: a -> Double
total :: [Int] -> Int
total xs = sum xs
main = print 1
""",
        "Shape/type Name/type Alias/type Area/interface total/function main/function",
        "Data.Map",
    ),
    "zig": (
        """const std = @import("std");
pub const Point = struct { x: i32, pub fn scale(self: Point) i32 { return self.x; } };
const Color = enum { red };
pub fn main() !void {}
""",
        "std/variable Point/struct Point.scale/method Color/enum main/function",
        "std",
    ),
    "dart": (
        """import 'dart:io';
class Shape extends Base { Shape(this.x); double area() { return 1; } int get size => 1; }
mixin Loud { void shout() {} }
enum Color { red }
void main() {}
""",
        "Shape/class Shape.Shape/method Shape.area/method Shape.size/method Loud/class Loud.shout/method Color/enum main/function",
        "dart:io",
    ),
    "julia": (
        """module Geo
using LinearAlgebra
import Base: show
struct Point{T} <: Shape
  x::T
end
abstract type Shape end
function area(p::Point)::Float64
  1.0
end
double(x) = 2x
macro say(x) end
const LIMIT = 3
end
""",
        "Geo/module Geo.Point/struct Geo.Shape/type Geo.area/function Geo.double/function Geo.say/macro Geo.LIMIT/constant",
        "LinearAlgebra Base",
    ),
    "perl": (
        "package My::Mod;\nuse strict;\nuse List::Util qw(max);\nsub run_it { return 1; }\n1;\n",
        "My::Mod/module run_it/function",
        "strict List::Util",
    ),
    "r": (
        "library(dplyr)\nadd <- function(a, b) a + b\nmean2 = function(x) {\n  x\n}\n",
        "add/function mean2/function",
        "dplyr",
    ),
    "sql": (
        "CREATE TABLE users (id int);\nCREATE VIEW active AS SELECT 1;\n"
        "CREATE FUNCTION total(a int) RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql;\n",
        "users/struct active/type total/function",
        "",
    ),
    "ocaml": (
        "open List\ntype shape = Circle | Square\nmodule Inner = struct let deep x = x end\nlet area s = 1.0\nlet limit = 3\n",
        "shape/type Inner/module Inner.deep/function area/function limit/variable",
        "List",
    ),
    "terraform": (
        'variable "region" {}\nresource "aws_instance" "web" {\n  ami = 1\n}\n',
        "region/module web/struct",
        "",
    ),
    "proto": (
        'import "a/b.proto";\nmessage User { int32 id = 1; enum Kind { A = 0; } }\nservice Api { rpc Get(User) returns (User); }\n',
        "User/struct User.Kind/enum Api/interface Api.Get/method",
        "a/b.proto",
    ),
    "make": (
        "include rules.mk\nCFLAGS := -O2\nall: build\nbuild: main.o\n\tcc -o x main.o\n",
        "CFLAGS/constant all/function build/function",
        "rules.mk",
    ),
    "objc": (
        "#import <Foundation/Foundation.h>\n@interface Shape : NSObject\n- (void)draw;\n@end\n"
        "@implementation Shape\n- (void)draw { }\n@end\nint helper(void) { return 1; }\n",
        "Shape/class Shape.draw/method Shape/class Shape.draw/method helper/function",
        "Foundation/Foundation.h",
    ),
    "erlang": (
        "-module(shop).\n-record(item, {id}).\nadd(A, B) -> A + B.\n",
        "shop/module item/struct add/function",
        "",
    ),
    "clojure": (
        "(ns shop.core)\n(def limit 3)\n(defn add [a b] (+ a b))\n(defrecord Item [id])\n",
        "shop.core/module limit/variable add/function Item/class",
        "",
    ),
    "cmake": ("function(build_it name)\nendfunction()\nmacro(say)\nendmacro()\n", "build_it/function say/macro", ""),
    "powershell": ("function Get-Thing { param($a) }\nclass Shape { [int] Area() { return 1 } }\n", "Get-Thing/function Shape/class Shape.Area/method", ""),
    "graphql": ("type User { id: ID }\nenum Kind { A }\ninterface Node { id: ID }\n", "User/struct Kind/enum Node/interface", ""),
    "solidity": ("contract Bank { function pay(uint a) public {} event Paid(uint a); }\n", "Bank/class Bank.pay/method Bank.Paid/type", ""),
    "fortran": ("module m\nuse iso_c\ncontains\nsubroutine run(a)\nend subroutine\nend module\n", "m/module m.run/function", "iso_c"),
    "groovy": ("class Shape { def area() { 1 } }\ndef helper(a) { a }\n", "Shape/class Shape.area/method helper/function", ""),
    "fish": ("function greet\n  echo hi\nend\n", "greet/function", ""),
    "gdscript": ("class_name Hero\nfunc jump(a):\n\tpass\n", "Hero/class jump/function", ""),
    "elm": ("module Main exposing (..)\ntype Msg = A\nview model = model\n", "Msg/type view/function", ""),
    "nim": ("proc add(a: int): int = a\n", "add/function", ""),
    "starlark": ("def rule_impl(ctx):\n    pass\n", "rule_impl/function", ""),
    "commonlisp": ("(defun add (a b) (+ a b))\n", "add/function", ""),
    "elisp": ("(defun add (a b) (+ a b))\n", "add/function", ""),
    "kconfig": ('config USB_FOO\n\tbool "foo"\n', "USB_FOO/constant", ""),
    "tcl": ("proc add {a b} { return $a }\n", "add/function", ""),
    "vim": ("function! Foo(a)\n  return 1\nendfunction\n", "Foo/function", ""),
    "nix": ("{ add = a: b: a + b; }\n", "add/function", ""),
    "d": ("class Shape { void draw() {} }\nstruct P {}\n", "Shape/class Shape.draw/method P/struct", ""),
    "thrift": ("struct User { 1: i32 id }\nservice Api { void ping() }\n", "User/struct Api/interface", ""),
    "verilog": ("module adder(input a, output b);\nendmodule\n", "adder/module", ""),
    "fsharp": ("let add a b = a + b\n", "add/function", ""),
    "scss": ("@mixin big($a) { color: red; }\n", "big/function", ""),
    "css": (".nav-bar { color: red }\n", ".nav-bar/class", ""),
}


@pytest.mark.parametrize("language", SOURCES)
def test_every_definition_has_its_name_kind_and_scope(language: str) -> None:
    source, expected, _ = SOURCES[language]
    found = [
        f"{symbol.scope + '.' if symbol.scope else ''}{symbol.name}/{symbol.kind}"
        for chunk in cut(source.encode(), language).chunks
        for symbol in chunk.symbols
    ]
    assert " ".join(found) == expected


@pytest.mark.parametrize("language", [language for language in SOURCES if SOURCES[language][2]])
def test_imports_are_kept_as_written(language: str) -> None:
    source, _, imports = SOURCES[language]
    assert " ".join(cut(source.encode(), language).imports) == imports
