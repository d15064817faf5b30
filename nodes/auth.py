"""NemoVideo Auth: chooses the account that makes the videos."""

from __future__ import annotations

from typing import Any

from ._comfy import host, inputs, run
from ._comfy.handles import fill_in


class NemoAuth:
    """A profile by name, and what is known of its account without the network."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Chooses the account that makes the videos: NemoVideo cloud, or the free local preview. Your token stays on "
        "the server."
    )
    SEARCH_ALIASES = ("account", "profile", "token", "api key", "login", "sign in", "local preview", "账户", "令牌")
    RETURN_TYPES = ("NEMO_AUTH", "STRING")
    RETURN_NAMES = ("auth", "account")
    OUTPUT_TOOLTIPS = ("The account and the language.", "The account in words: its kind, and when its token expires.")
    FUNCTION = "choose"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"profile": inputs.profile_combo(), "language": inputs.LANGUAGE}}

    @classmethod
    def VALIDATE_INPUTS(cls, profile: Any = None) -> bool:
        """Judged at run time, with words that help."""
        return True

    def choose(self, profile: Any = None, language: Any = None) -> tuple[Any, str]:
        """The handle, and the account in words."""
        from ..nemo_client import AuthHandle, account_text
        from ..nemo_client import profile as find_profile

        with run.localize_errors(language or "auto"):
            fill_in(type(self), {"profile": profile, "language": language})
            host.check_home()
            return AuthHandle(profile, language), account_text(
                find_profile(profile), run.find_text_language(language) or "auto"
            )
