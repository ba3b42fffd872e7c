"""Terms that may stand in attributes that people also write into: by attribute, and for names."""

from __future__ import annotations

import re
from functools import cache

IMAGE_TYPES = frozenset({
    "ORIGINAL", "DERIVED", "MIXED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "REFORMATTED",
    "VOLUME", "PROJECTION", "IMAGE", "NONE", "MPR", "MIP", "MINIP", "AVERAGE", "RESAMPLED", "M",
    "P", "R", "I", "FFE", "SE", "IR", "TSE", "NORM", "DIS2D", "DIS3D", "ND", "FM", "FIL",
    "MFSPLIT", "ADC", "TRACEW", "FA", "TENSOR", "DIFFUSION", "PERFUSION", "T1", "T2", "STIR",
    "WATER", "FAT", "IN", "OUT", "PHASE", "OTHER", "STATIC", "DYNAMIC", "GATED", "WHOLE", "BODY",
    "RECON", "TOMO", "EMISSION", "TRANSMISSION", "CT", "SOM5", "SPI", "SPIRAL", "HELICAL", "SEQ",
    "SUBTRACTION", "ADDITION", "DIVISION", "MULTIPLICATION", "MAXIMUM", "MINIMUM", "MEAN",
    "ANGIO", "CARDIAC", "FLUOROSCOPY", "STRESS", "REST", "POST", "PRE", "CONTRAST", "VELOCITY",
    "REAL", "IMAGINARY", "MAGNITUDE",
})  # fmt: skip
"""Words of Image Type and Frame Type."""

SCAN_OPTIONS = frozenset({
    "PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS", "CT", "FREQ", "PHASE", "FAT", "SAT",
    "GEMS", "HELICAL", "AXIAL", "MODE", "SPIRAL", "SCOUT", "CINE",
})  # fmt: skip

BODY_PARTS = frozenset({
    "ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER",
    "BRAIN", "BREAST", "CALF", "CAROTID", "CEREBELLUM", "CHEEK", "CHEST", "CHESTABDOMEN",
    "CHESTABDPELVIS", "CIRCLEOFWILLIS", "CLAVICLE", "COCCYX", "COLON", "CORNEA", "CORONARYARTERY",
    "CSPINE", "CTSPINE", "DUODENUM", "EAR", "ELBOW", "ESOPHAGUS", "EXTREMITY", "EYE", "EYELID",
    "FACE", "FEMUR", "FINGER", "FOOT", "GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HEART", "HIP",
    "ILIUM", "JAW", "KIDNEY", "KNEE", "LARYNX", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUNG",
    "MANDIBLE", "MAXILLA", "MEDIASTINUM", "NECK", "NECKCHEST", "NOSE", "ORBIT", "OVARY",
    "PANCREAS", "PAROTID", "PATELLA", "PELVIS", "PENIS", "PHANTOM", "PHARYNX", "PROSTATE",
    "RECTUM", "RIB", "SCALP", "SCAPULA", "SHOULDER", "SKULL", "SPINE", "SPLEEN", "SSPINE",
    "STERNUM", "STOMACH", "TESTIS", "THIGH", "THUMB", "THYMUS", "THYROID", "TIBIA", "TOE",
    "TONGUE", "TRACHEA", "TSPINE", "UTERUS", "VAGINA", "VULVA", "WHOLEBODY", "WRIST",
})  # fmt: skip

RESCALE_TYPES = frozenset({
    "HU", "US", "OD", "MGML", "PCT", "Z_EFF", "ED", "EDW", "HU_MOD", "BQML", "NORMALIZED",
})  # fmt: skip

SCHEMES = frozenset({
    "DCM", "SCT", "SRT", "SNM3", "SNM", "LN", "UCUM", "RADLEX", "FMA", "NCIt", "UMLS", "ICDO3",
    "ICD10", "MSH", "NEU", "RFC5646", "ACR", "BI",
})  # fmt: skip
"""Coding schemes that are the same everywhere."""

KERNEL = re.compile(
    r"[ABDHIJQSTU][a-z]?\d{1,2}[a-z]{0,2}|FC\d{2}|[A-L]|Y[A-E]|"
    r"STANDARD|SOFT|LUNG|BONE(PLUS)?|DETAIL|EDGE|ULTRA|CHEST|SHARP|SMOOTH|BRAIN|HEAD"
)
"""Convolution kernels as vendors call them."""

_STRUCTURES = """
    gtv ctv ptv itv oar external body tumor tumour lesion lesions necrosis enhancing edema oedema
    whole core mask label roi segment organ organs left right lung lungs kidney kidneys anterior
    posterior background foreground ventricle ventricles grey gray white matter hippocampus spinal
    cord canal nodes nodal positive negative benign malignant normal cancer cyst cysts
"""


@cache
def vocabulary() -> frozenset[str]:
    """The words of the standard's own code meanings, and those that contouring adds to them."""
    every = " ".join([*meanings().values(), _STRUCTURES, *BODY_PARTS]).lower()
    return frozenset(re.findall(r"[a-z]+", every))


@cache
def meanings() -> dict[tuple[str, str], str]:
    """What standard codes mean: (scheme, value) -> words."""
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    found: dict[tuple[str, str], str] = {}
    for scheme in ("DCM", "SCT", "UCUM"):
        known = getattr(codes, scheme)
        for code in (getattr(known, name) for name in dir(known)):
            if isinstance(code, Code):
                found[scheme, code.value] = code.meaning
    return found
