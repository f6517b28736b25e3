"""The names that files and the database rely on."""

from metapulse_assets.indicators.columns import COLUMNS, DATABASE_NAMES, PANDAS_TA_NAMES, PANDAS_TA_TO_DATABASE
from metapulse_assets.indicators.kernel import compute
from metapulse_assets.indicators.warm_up import REQUIRED_BARS
from metapulse_assets_tests.indicators import series

HEADER = (
    "RSI_14,MACD_12_26_9,MACDs_12_26_9,MACDh_12_26_9,SMA_20,SMA_50,EMA_12,EMA_26,EMA_50,EMA_200,BBL_20_2.0,BBM_20_2.0,"
    "BBU_20_2.0,ATRr_14,ADX_14,DMP_14,DMN_14,STOCHk_14_3_3,STOCHd_14_3_3,OBV,ROC_10,MOM_10"
)


def test_the_standard_set_is_named_as_pandas_ta_names_it() -> None:
    assert ",".join(PANDAS_TA_NAMES) == HEADER
    assert PANDAS_TA_TO_DATABASE["BBL_20_2.0"] == "bb_lower"
    assert PANDAS_TA_TO_DATABASE["DMN_14"] == "minus_di_14"


def test_the_kernel_computes_exactly_the_declared_columns() -> None:
    values, _ = compute(series.walk(3, 1))
    assert list(values) == [column.name for column in COLUMNS]
    assert len(values) == len(set(values)) == len(DATABASE_NAMES) + 4


def test_every_column_says_what_it_is_and_when_it_may_be_used() -> None:
    for column in COLUMNS:
        assert column.meaning, column.name
        assert column.unit, column.name
        assert column.source, column.name
        assert REQUIRED_BARS[column.name] >= column.first_bar, column.name
