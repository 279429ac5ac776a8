"""Lists of English words that say little about what a sentence means."""

from __future__ import annotations

from .phrases import stem

__all__ = ("COMMON", "WEAK")

#: Words that say almost nothing: they occur in sentences about anything.
WEAK = frozenset(
    """
    a about actually all also am an and any anything are as at be because been but by can could dear did do does
    eight eighth eleven ever fifth fifty fine first five for forty four fourth from get give go good got great
    had half hallo has have he hello her hey hi him his hiya how hundred i id if im in into is it its just
    kindly know let like look love may maybe me might mine must my myself need nice nine ninth o'clock of off ok
    okay on one only or our ours out perhaps please pm quarter really second seven seventh she should six sixth
    so some somebody something sorry still tell ten tenth than thank thanks that the their them then there these
    they third thirty this those three to too twelve twenty two up us very want was we well were what when where
    which who will wish with without wonder would yes you your yours
    """.replace("'", "").split()
)
_COMMON = """
    able absolutely afraid after again ago allow almost alone along already american another anybody anyone
    anyway anywhere around arrival arrive ask away back bad before begin behind best better big bit both bother
    boyfriend bring brother call came care case chance change charge close come coming cost couple dad day days
    decent different doing done down early either else end english enough even evening every exactly expect
    family fancy far father feel few find french friend full german girlfriend going grandfather grandmother
    guest guys hand happen hard heard help here high hold home hope hour house husband idea include inside
    instead keep kind last late later least leave left less life light line little live long lot lovely low
    madam made make many matter mean middle mind minute mom moment month more morning most mother move much mum
    name near never new next night now number offer often old once open order other outside over own parent part
    partner people person place plan play point possible probably problem proper put quick quite rather reach
    ready real recommend right round run same say see send set several share show side sir sister sit small
    somewhere soon sort speak stand start step stop straight such suppose sure take talk thing think through
    till time today together tomorrow tonight took town trouble try turn under until use usual wait walk way
    week weekend went while whole wife word work world wrong year yet
    """
#: Stems of words that say little alone, although few topics may have them: "before", "late", "take". Beside another
#: word they may say a lot, as in "take away".
COMMON = frozenset(map(stem, _COMMON.split()))
