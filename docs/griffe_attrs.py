"""Show attrs classes in the API reference by the signature of the `__init__` that attrs writes."""

from __future__ import annotations

from typing import Any

import griffe

__all__ = ("AttrsSignatures",)

_DECORATORS = {"attrs.frozen", "attrs.define", "attrs.mutable"}


class AttrsSignatures(griffe.Extension):
    """Add an `__init__` with one parameter for each field, and drop the fields that say nothing more."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Look at every class once the whole package is read, so that base classes are known."""
        classes = _classes(pkg)
        for each in classes:
            decorator = next((found for found in each.decorators if found.callable_path in _DECORATORS), None)
            if decorator is not None and "__init__" not in each.members:
                keyword_only = "kw_only=True" in str(decorator.value)
                each.set_member("__init__", _init(each, keyword_only=keyword_only))
        for each in (*classes, *_modules(pkg)):
            exported = each.exports or ()
            for name in [name for name, member in each.members.items() if _is_silent(member) and name not in exported]:
                each.del_member(name)


def _classes(module: griffe.Object) -> list[griffe.Class]:
    found: list[griffe.Class] = []
    for each in module.members.values():
        if not each.is_alias and isinstance(each, griffe.Module | griffe.Class):
            found += [*([each] if isinstance(each, griffe.Class) else []), *_classes(each)]
    return found


def _modules(package: griffe.Module) -> list[griffe.Module]:
    return [package, *(each for module in package.modules.values() if not module.is_alias for each in _modules(module))]


def _init(cls: griffe.Class, *, keyword_only: bool) -> griffe.Function:
    fields = [each for owner in (*reversed(cls.mro()), cls) for each in owner.members.values() if _is_field(each)]
    kind = griffe.ParameterKind.keyword_only if keyword_only else griffe.ParameterKind.positional_or_keyword
    parameters = [
        griffe.Parameter(each.name.lstrip("_"), annotation=each.annotation, kind=kind, default=_default(each.value))
        for each in {field.name: field for field in fields}.values()
        if isinstance(each, griffe.Attribute)
    ]
    this = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    return griffe.Function("__init__", parameters=griffe.Parameters(this, *parameters), parent=cls)


def _is_field(member: griffe.Object | griffe.Alias) -> bool:
    return (
        isinstance(member, griffe.Attribute)
        and member.annotation is not None
        and "ClassVar" not in str(member.annotation)
        and "property" not in member.labels
        and "init=False" not in str(member.value)
    )


def _default(value: str | griffe.Expr | None) -> str | griffe.Expr | None:
    """The default of a field: of `field(default=…)` that of the call; a factory shows as `...`."""
    if not isinstance(value, griffe.ExprCall) or str(value.function) not in ("field", "attrs.field"):
        return value
    for argument in value.arguments:
        if isinstance(argument, griffe.ExprKeyword) and argument.name in ("default", "factory"):
            return argument.value if argument.name == "default" else "..."
    return None


def _is_silent(member: griffe.Object | griffe.Alias) -> bool:
    """Whether a member is a plain attribute without a docstring: the signature of its class shows it already."""
    return isinstance(member, griffe.Attribute) and not member.docstring and "property" not in member.labels
