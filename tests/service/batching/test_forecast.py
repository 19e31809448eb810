import pytest

from bigbird_inference.buckets import BucketKey, ServedBucket
from service.batching.batch_limits import BatchLimits
from service.batching.bucket_queue import BucketQueue, Place
from service.batching.cost_model import CostModel
from service.batching.forecast import Forecast
from tests.fake_model import FakeSession
from tests.service.manual_executor import FakeClock

SHORT, LONG = (ServedBucket("model", length, FakeSession(), 0) for length in (8, 16))


@pytest.fixture
def forecast() -> Forecast:
    """One short sequence takes a second, four together two; a long one takes six."""
    costs = CostModel(FakeClock())
    for bucket, items, seconds in ((8, 1, 1.0), (8, 4, 2.0), (16, 1, 6.0)):
        costs.measured(BucketKey("model", bucket), items, seconds)
    return Forecast(costs, BatchLimits(max_items=4, max_tokens=1000))


def test_sequences_are_worked_off_in_batches_of_the_cheapest_size(forecast: Forecast) -> None:
    assert forecast.work(SHORT, 8) == 4.0
    assert forecast.work(SHORT, 0) == 0.0


@pytest.mark.parametrize(
    ("new", "remaining", "seconds"),
    [
        pytest.param([SHORT], [0.0], 1.0, id="an idle device"),
        pytest.param([SHORT], [2.5], 3.5, id="a busy device"),
        pytest.param([SHORT] * 4, [2.5], 4.5, id="a request that fills a batch"),
        pytest.param([SHORT], [2.5, 0.0], 1.0, id="a busy device and an idle one"),
        pytest.param([SHORT] * 4, [0.5, 0.0], 1.25, id="a device that is free soon helps"),
        pytest.param([LONG], [0.0, 0.0], 6.0, id="two devices do not share one sequence"),
        pytest.param([LONG, LONG], [1.0, 3.0], 8.0, id="but two sequences"),
    ],
)
def test_devices_share_the_work_but_not_a_sequence(
    forecast: Forecast, new: list[ServedBucket], remaining: list[float], seconds: float
) -> None:
    queues = [BucketQueue(SHORT), BucketQueue(LONG)]
    assert forecast.finish(queues, new, Place(0.0, 0.0, first=True), remaining) == pytest.approx(seconds)
