"""From traits of users and groups to keys of a lead's profile."""

from collections.abc import Mapping
from typing import Any

Object = dict[str, Any]

COMPANY = "company"
OF_COMPANY = {
    "name": COMPANY,
    "industry": "industry",
    "employees": "company_size",
    "employee_count": "company_size",
    "id": "company_id",
}
"""Traits of a company, and the keys that rules and lists know. Any other becomes `company_` and its name."""


def profile_of_user(traits: Object, user_id: str, anonymous_id: str, renamed: Mapping[str, str]) -> Object:
    """The keys that an identify call sets; empty if it says nothing of the user."""
    profile = dict(traits)
    if isinstance(company := profile.get(COMPANY), dict):
        del profile[COMPANY]
        profile = _of_company(company) | profile
    names = [profile[key] for key in ("firstName", "lastName") if isinstance(profile.get(key), str)]
    if names and "name" not in profile:
        profile["name"] = " ".join(names)
    if user_id and anonymous_id:
        profile["anonymous_id"] = anonymous_id
    return _renamed(profile, renamed)


def profile_of_group(traits: Object, group_id: str, renamed: Mapping[str, str]) -> Object:
    """The keys that a group call sets; empty if it says nothing of the group."""
    profile = _of_company(traits)
    if group_id:
        profile["company_id"] = group_id
    return _renamed(profile, renamed)


def _of_company(traits: Object) -> Object:
    return {OF_COMPANY.get(name, f"{COMPANY}_{name}"): value for name, value in traits.items()}


def _renamed(profile: Object, renamed: Mapping[str, str]) -> Object:
    if not renamed:
        return profile
    named = {renamed.get(key, key): value for key, value in profile.items()}
    named.pop("", None)
    return named
