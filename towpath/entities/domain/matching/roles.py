"""What a field is for, by its name: whether two different values of it mean two different things.

A list that holds no siblings cannot teach that they exist. But what fields are is known beforehand: two people who
share a house, a family name and a telephone are two if their given names or birth dates differ, and two products of
one brand at one price are two if their titles do. A street, a town or a brand is shared by many, and so says nothing
of that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from towpath.entities.types import FieldType, IndexField

_PART = re.compile(r"[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Role(StrEnum):
    """What a field's values say of who or what an entity is.

    `given_name`, `birth`: a person's own. `title`: what a thing is called. `own`: what the user says is a thing's own.
    `price`: what it costs. `identifier`: a number that one thing alone has, though systems may give it different ones.
    `context`: what many share. `other`: unknown.
    """

    GIVEN_NAME = "given_name"
    BIRTH = "birth"
    TITLE = "title"
    OWN = "own"
    PRICE = "price"
    IDENTIFIER = "identifier"
    CONTEXT = "context"
    OTHER = "other"


OWN_ROLES = frozenset({Role.GIVEN_NAME, Role.BIRTH, Role.TITLE, Role.OWN})
"""Roles of fields whose values are a thing's own: different ones mean two things, equal ones that it may be one."""
_WORDS: tuple[tuple[Role, str], ...] = (
    (Role.PRICE, "price cost preis prix precio prezzo msrp"),
    (
        Role.IDENTIFIER,
        "id identifier ssn passport tax taxid vat nif siret siren lei duns isbn issn doi orcid ean upc gtin asin mpn "
        "imei vin iban barcode",
    ),
    (
        Role.CONTEXT,
        "last family surname lastname familyname nachname apellido apellidos cognome nazwisko middle suffix",
    ),
    (Role.GIVEN_NAME, "first given forename firstname givenname vorname prenom prénom imię imie"),
    (
        Role.CONTEXT,
        "street address addr road line house building city town suburb district county state province region country "
        "continent zip zipcode postcode postal post plz straße strasse ort stadt land rue ville calle ciudad via citta "
        "latitude longitude lat lon lng phone telephone tel mobile cell fax telefon email mail website web url domain "
        "homepage brand manufacturer maker make vendor supplier category type kind class genre cuisine currency status "
        "language description desc details note notes comment comments remark remarks abstract summary keywords tags "
        "venue journal booktitle conference publisher series author authors artist year sex gender prefix salutation "
        "employer",
    ),
    (
        Role.TITLE,
        "name title label product item song track album film movie company firm organization organisation business "
        "legalname fullname bezeichnung firma titel nom titre nombre titulo nome titolo nazwa",
    ),
)
"""Words in names of fields, in the order in which they count: `city_name` is a town, `first_name` a given name."""
_BIRTH = "birth birthdate birthday born dob geburtsdatum naissance nacimiento nascita"
_TYPES = {
    Role.PRICE: (FieldType.NUMBER,),
    Role.GIVEN_NAME: (FieldType.TEXT, FieldType.STRING),
    Role.TITLE: (FieldType.TEXT, FieldType.STRING),
}
"""The types that a field of a role may have; of other roles, any."""


def find_roles(fields: Sequence[IndexField]) -> list[Role]:
    """Return the role of each field of an index. What the user says of a field goes before what its name says."""
    roles = [_find_role(field) for field in fields]
    if Role.GIVEN_NAME in roles:
        # Of people, a title is what they are addressed by.
        roles = [
            Role.OTHER if role is Role.TITLE and field.identity is None else role
            for role, field in zip(roles, fields, strict=True)
        ]
    return roles


def _find_role(field: IndexField) -> Role:
    role = _role_by_name(field.name, field.type)
    if field.identity is None:
        return role
    if not field.identity:
        return role if role in {Role.CONTEXT, Role.IDENTIFIER} else Role.OTHER
    if field.type is FieldType.DATE:
        return Role.BIRTH
    return role if role is Role.GIVEN_NAME else Role.OWN


def _role_by_name(name: str, kind: FieldType) -> Role:
    words = {part.lower() for part in _PART.findall(_CAMEL.sub(" ", name))}
    if kind is FieldType.DATE:
        return Role.OTHER if words.isdisjoint(_BIRTH.split()) else Role.BIRTH
    roles = (
        role for role, known in _WORDS if not words.isdisjoint(known.split()) and kind in _TYPES.get(role, (kind,))
    )
    return next(roles, Role.OTHER)
