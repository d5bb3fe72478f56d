"""Tokens that give themselves away by how they begin: one line for each maker, in its own form.

Sources: the makers' documentation, and the public lists of secret scanners. What has no form of its
own (bare hexadecimal, words, UUIDs) is not here: digests and commits look the same.
"""

from typing import Final

PREFIXED: Final = (
    # Git forges and CI
    r"gh[opsru]_[A-Za-z0-9_]{10,}",
    r"github_pat_[A-Za-z0-9_]{10,}",
    r"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{10,}",
    r"GR1348941[A-Za-z0-9_-]{16,}",
    r"AT(?:ATT3|CTT3)[A-Za-z0-9_=-]{20,}",
    r"ATBB[A-Za-z0-9]{24,}",
    r"CCIPAT_[A-Za-z0-9_]{20,}",
    # Clouds and hosting
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"AIza[A-Za-z0-9_-]{20,}",
    r"ya29\.[A-Za-z0-9_.-]{10,}",
    r"GOCSPX-[A-Za-z0-9_-]{10,}",
    r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,}",
    r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",
    r"do[opr]_v1_[a-f0-9]{32,}",
    r"v1\.0-[A-Za-z0-9]{24}-[A-Za-z0-9]{100,}",
    r"HRKU-[A-Za-z0-9_-]{20,}",
    r"f(?:m1r|m2|o1)_[A-Za-z0-9+/=_-]{40,}",
    r"vcp_[A-Za-z0-9]{24,}",
    r"nfp_[A-Za-z0-9]{30,}",
    r"sbp_[a-f0-9]{40}",
    r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{20,}",
    r"sha256~[A-Za-z0-9_-]{16,}",
    # Models
    r"sk-[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{10,}",
    r"gsk_[A-Za-z0-9]{16,}",
    r"xai-[A-Za-z0-9]{40,}",
    r"pplx-[A-Za-z0-9]{32,}",
    r"r8_[A-Za-z0-9]{30,}",
    r"fw_[A-Za-z0-9]{22,}",
    r"tvly-[A-Za-z0-9-]{20,}",
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}",
    # Registries
    r"npm_[A-Za-z0-9]{10,}",
    r"pypi-[A-Za-z0-9_-]{16,}",
    r"rubygems_[a-f0-9]{32,}",
    r"cio[A-Za-z0-9]{32}(?![A-Za-z0-9])",
    r"dckr_[op]at_[A-Za-z0-9_-]{10,}",
    r"AKCp[A-Za-z0-9]{40,}",
    r"cmVmdGtuOj[A-Za-z0-9]{40,}",
    # Vaults and infrastructure
    r"hv[bs]\.[A-Za-z0-9_-]{16,}",
    r"dp\.(?:audit|ct|pt|sa|scim|st)\.[A-Za-z0-9._-]{24,}",
    r"pul-[a-f0-9]{40}",
    r"atlasv1\.[A-Za-z0-9_-]{40,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{16,}",
    r"dapi[a-f0-9]{32}",
    # Watching
    r"gl(?:c|sa)_[A-Za-z0-9_+/=]{16,}",
    r"sntry[su]_[A-Za-z0-9+/=_-]{30,}",
    r"NRAK-[A-Za-z0-9]{20,}",
    r"dt0[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{40,}",
    # Talking and tracking
    r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}",
    r"xapp-[A-Za-z0-9-]{10,}",
    r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",
    r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
    r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    r"key-[a-f0-9]{32}(?![A-Za-z0-9])",
    r"SK[a-f0-9]{32}(?![A-Za-z0-9])",
    r"lin_(?:api|oauth)_[A-Za-z0-9]{20,}",
    r"ntn_[A-Za-z0-9]{32,}",
    r"secret_[A-Za-z0-9]{43}(?![A-Za-z0-9_])",
    r"figd_[A-Za-z0-9_-]{30,}",
    r"PMAK-[A-Za-z0-9]{20,}-[A-Za-z0-9]{20,}",
    # Paying and selling
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"whsec_[A-Za-z0-9+/=]{20,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{24,}",
    r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}",
    r"EAACEdEose0cBA[A-Za-z0-9]{10,}",
)
"""A run of characters is entered from one end only: what is before a token is no part of one."""
