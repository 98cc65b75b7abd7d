import numpy as np
import pytest

from embedsearch.errors import InputError
from embedsearch.tuning.schedule import ScheduleConfig, Unfreezing

torch = pytest.importorskip("torch")

ROWS, NEW = 12, [10, 11]


class Model(torch.nn.Module):
    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(ROWS, 4)
        self.body = torch.nn.Linear(4, 4)
        self.head = torch.nn.Linear(4, ROWS, bias=False)
        if tied:
            self.head.weight = self.table.weight

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.table

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(self.table(ids))))


def adam(model: Model) -> torch.optim.AdamW:
    return torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)


def train(
    model: Model,
    schedule: Unfreezing,
    steps: range,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[float]:
    optimizer = optimizer or adam(model)
    ids = torch.arange(ROWS)
    factors = []
    for step in steps:
        factors.append(schedule.before_step(step))
        loss = torch.nn.functional.cross_entropy(model(ids), ids.roll(1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return factors


def state(model: Model) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("tied", [True, False])
def test_only_new_rows_learn_at_first(tied):
    model = Model(tied=tied)
    before = state(model)
    schedule = Unfreezing(model, ScheduleConfig(total_steps=10, frozen_steps=4), NEW)
    train(model, schedule, range(4))
    assert schedule.frozen
    schedule.before_step(4)
    assert not schedule.frozen
    after = state(model)
    for name in ("body.weight", "body.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("table.weight", "head.weight"):
        np.testing.assert_array_equal(after[name][:10], before[name][:10])
        assert (after[name][10:] != before[name][10:]).all()


def test_then_everything_learns():
    model = Model(tied=False)
    schedule = Unfreezing(model, ScheduleConfig(total_steps=10, frozen_steps=2), NEW)
    before = state(model)
    train(model, schedule, range(10))
    after = state(model)
    assert all((after[name] != before[name]).any(axis=-1).all() for name in before)


@pytest.mark.parametrize("stop", range(1, 10))
def test_a_model_is_resumed_before_and_after_it_was_unfrozen(stop):
    config = ScheduleConfig(total_steps=10, frozen_steps=4, warmup_steps=1)
    whole, first, second = (Model(tied=False) for _ in range(3))
    train(whole, Unfreezing(whole, config, NEW), range(10))
    optimizers = adam(first), adam(second)
    train(first, Unfreezing(first, config, NEW), range(stop), optimizers[0])
    schedule = Unfreezing(second, config, NEW)
    second.load_state_dict(first.state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    train(second, schedule, range(stop, 10), optimizers[1])
    expected = state(whole)
    for name, value in state(second).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_nothing_is_frozen_without_being_asked():
    model = Model(tied=True)
    schedule = Unfreezing(model, ScheduleConfig(total_steps=3), [])
    assert not schedule.frozen
    assert all(parameter.requires_grad for parameter in model.parameters())
    train(model, schedule, range(3))


def test_what_was_frozen_before_stays_frozen():
    model = Model(tied=True)
    model.body.bias.requires_grad_(False)
    schedule = Unfreezing(model, ScheduleConfig(total_steps=3, frozen_steps=1), NEW)
    train(model, schedule, range(3))
    assert not model.body.bias.requires_grad
    assert model.body.weight.requires_grad


def test_learning_rate():
    plain = ScheduleConfig(total_steps=4)
    assert [plain.learning_rate_factor(s) for s in range(5)] == [1, 0.75, 0.5, 0.25, 0]
    both = ScheduleConfig(total_steps=9, frozen_steps=3, warmup_steps=1)
    found = [both.learning_rate_factor(step) for step in range(9)]
    np.testing.assert_allclose(found, [0.5, 1, 1, 0.5, 1, 0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_steps": 0}, "total_steps"),
        ({"total_steps": 5, "frozen_steps": 5}, "must be less than total_steps, 5"),
        ({"total_steps": 5, "warmup_steps": -1}, "warmup_steps"),
        ({"total_steps": 5, "frozen_steps": 1.5}, "frozen_steps"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        ScheduleConfig(**settings)


def test_no_rows_to_train_alone():
    with pytest.raises(InputError, match="frozen_steps needs new tokens"):
        Unfreezing(Model(tied=True), ScheduleConfig(total_steps=5, frozen_steps=2), [])
