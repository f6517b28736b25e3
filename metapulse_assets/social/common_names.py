"""Words that tokens are named after and that people use for other things: such a name alone names no token. Own list."""

from metapulse_assets.social.lexicon import WORDS

SHORTEST_DISTINCTIVE = 5


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_COMMON = _words(
    "about actual after again agent agents airdrop alien all alpha america american angel anime apple arena army asset "
    "banana bank base based beach bear beer believe best beta big bird black blast block blockchain blood blue board "
    "bonk book boss brain bread brett bridge bro bubble build burn cake candy cash cat cats chain chainlink chance change "
    "chart chat cheese chess chill china chip circle city claim cloud club coffee coin comic community compound cookie core "
    "corn cosmos crab crazy create credit crown crypto cult curve daddy dark data day degen degens delta demon destiny "
    "diamond digital dinner dog dogs dollar dollars dragon dream drift duck dust dying eagle earth east echo effect egg "
    "elite elon emotion empire energy engine epic eternal ether europe event every everyone everything evil exchange eye "
    "face fair faith family fart father fear final finance fire first fish flag floor flow flower fly focus food force "
    "forest fork forward fox freedom friend friends frog frogs fun fund future galaxy game gaming genesis ghost giant gift "
    "girl glass global goat god gold golden good grass gravity great green grok group guy hair hand hands happy harmony hat "
    "heart heaven hedge hell hello hero hive home honey honor horizon horse house human hunter ice icon idea image impact "
    "index infinity internet investor island jail jesus join joke journey joy jungle just justice kids king kitty knight "
    "lady land large law layer leader legend legends level liberty life light link lion liquid liquidity list little live "
    "local logic long love luck lucky luna machine magic make manga mango mantle maps marine market mars mask master matrix "
    "maya meme memecoin memes meta metal metaverse milk mind miner mint mirror mission model mode moment monad money monkey "
    "monster moon mother mouse movement music name nation national near nest network neuro neutral never new news next "
    "night ninja normal north nothing nova oasis ocean official open optimism oracle orange orbit order origin pay panda "
    "panic paper parallel party patriot peace people perfect person pepe phoenix pig pirate pizza planet plasma play player "
    "point polygon pool popcat portal position power president price prime prince profit project protocol proof pulse pump "
    "punk puppy purple queen quest quick rabbit race radio rage rain rainbow rally ray reach real reality red render "
    "reserve reward rich ring ripple rise river robot rocket roll root round royal rune safe sand santa save scroll "
    "sea secret seed sense shadow share shark shell shield ship signal silver simple sky sleep smart smile snake snow "
    "social society soft solid sonic soul sound south space spark speed spell spirit sports spring squid stable stack star "
    "stars state status stellar stone store storm story strategy street strike strong summer sun super surf swap sweet "
    "sword synapse system table talent tank tax team tech temple terra test theta thing think thunder tiger time titan toad "
    "today token tokens tower toy trade trader trading train treasure tree trump trust truth turbo ultra uncle unicorn "
    "union unit unity universe value vault venom venus victory video virtual virtuals vision vote voyager wagmi wall wallet "
    "war water wave waves wealth west whale whales white wild win wind winter wisdom wizard wolf women wonder word work "
    "world worm wrapped year yes yield young zebra zen zero zone"
)

# Words that only join others: with them alone a common word does not become a name ("to the moon").
_JOINING = _words(
    "and are but can did does for from get got had has have her his how into its just let like may more most not now off one "
    "our out over own she some than that the their them then there these they this those too under until very was way were "
    "what when where which who why will with would you your"
)


_NO_NAMES = _COMMON | _JOINING


def is_distinctive(name: tuple[str, ...]) -> bool:
    """Whether a name, as words in lower case, is hardly ever said of anything else."""
    if not name:
        return False
    if len(name) > 1:
        return any(word not in _NO_NAMES and word not in WORDS and len(word) > 2 for word in name)
    word = name[0]
    return len(word) >= SHORTEST_DISTINCTIVE and word not in _COMMON and word not in WORDS and not word.isdigit()
