"""Reinforcement learning three ways: an actor with a critic, Q-learning with a replay memory, and PPO."""

from collections import deque, namedtuple
from itertools import count

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical, Normal

SavedAction = namedtuple("SavedAction", ["log_prob", "value"])
Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))


class Env:
    def reset(self):
        self.t, self.rng = 0, np.random.default_rng(4)
        self.s = self.rng.normal(size=4).astype(np.float32)
        return self.s, {}

    def step(self, action):
        self.t += 1
        self.s = (0.9 * self.s + 0.1 * (action - 0.5) + self.rng.normal(size=4) * 0.1).astype(np.float32)
        return self.s, float(-np.abs(self.s).sum()), self.t >= 10, False, {}


class Policy(nn.Module):
    def __init__(self):
        super(Policy, self).__init__()
        self.affine1 = nn.Linear(4, 16)
        self.action_head = nn.Linear(16, 2)
        self.value_head = nn.Linear(16, 1)
        self.saved_actions = []
        self.rewards = []

    def forward(self, x):
        x = F.relu(self.affine1(x))
        action_prob = F.softmax(self.action_head(x), dim=-1)
        return action_prob, self.value_head(x)


def set_weights(model, seed=0):
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        nn.init.constant_(p, 0.0)
        p.data += torch.from_numpy(rng.normal(0, 0.3, p.size()).astype(np.float32))


class ReplayMemory(object):
    def __init__(self, capacity):
        self.memory = deque([], maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def __len__(self):
        return len(self.memory)


def actor_critic(out):
    model = Policy()
    set_weights(model)
    optimizer = optim.Adam(model.parameters(), lr=3e-2)
    eps = np.finfo(np.float32).eps.item()
    env = Env()
    draw = np.random.default_rng(9)
    for i_episode in range(3):
        state, _ = env.reset()
        ep_reward = 0
        for t in range(1, 100):
            probs, state_value = model(torch.from_numpy(state).float())
            m = Categorical(probs)
            action = torch.tensor(int(draw.integers(0, 2)))
            assert m.sample().shape == action.shape
            model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
            state, reward, done, _, _ = env.step(action.item())
            model.rewards.append(reward)
            ep_reward += reward
            if done:
                break
        R = 0
        policy_losses, value_losses, returns = [], [], []
        for r in model.rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + eps)
        for (log_prob, value), R in zip(model.saved_actions, returns):
            advantage = R - value.item()
            policy_losses.append(-log_prob * advantage)
            value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
        optimizer.zero_grad()
        loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum() - 0.01 * m.entropy()
        loss.backward()
        optimizer.step()
        del model.rewards[:]
        del model.saved_actions[:]
        out.append(loss.item())


def dqn(out):
    policy_net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    target_net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    set_weights(policy_net, 1)
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = optim.AdamW(policy_net.parameters(), lr=1e-2, amsgrad=True)
    memory, env = ReplayMemory(100), Env()
    state, info = env.reset()
    state = torch.tensor(state, dtype=torch.float32, device="cpu").unsqueeze(0)
    draw = np.random.default_rng(1)
    for t in count():
        with torch.no_grad():
            action = policy_net(state).max(1).indices.view(1, 1)
        if draw.random() < 0.3:
            action = torch.tensor([[int(draw.integers(2))]], device="cpu", dtype=torch.long)
        observation, reward, terminated, truncated, _ = env.step(action.item())
        reward = torch.tensor([reward], device="cpu")
        next_state = None if terminated else torch.tensor(observation, dtype=torch.float32).unsqueeze(0)
        memory.push(state, action, next_state, reward)
        state = next_state
        if len(memory) >= 4:
            batch = Transition(*zip(*list(memory.memory)[-4:]))
            non_final_mask = torch.tensor(
                tuple(map(lambda s: s is not None, batch.next_state)), dtype=torch.bool
            )
            non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
            state_batch, action_batch, reward_batch = (
                torch.cat(batch.state),
                torch.cat(batch.action),
                torch.cat(batch.reward),
            )
            state_action_values = policy_net(state_batch).gather(1, action_batch)
            next_state_values = torch.zeros(4, device="cpu")
            with torch.no_grad():
                next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
            expected = (next_state_values * 0.99) + reward_batch
            loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
            optimizer.step()
            out.append(loss.item())
            target_sd, policy_sd = target_net.state_dict(), policy_net.state_dict()
            for key in policy_sd:
                target_sd[key] = policy_sd[key] * 0.005 + target_sd[key] * (1 - 0.005)
            target_net.load_state_dict(target_sd)
        if terminated:
            break


def ppo(out):
    rng = np.random.default_rng(5)
    actor = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    set_weights(actor, 2)
    log_std = nn.Parameter(torch.zeros(1, 2))
    opt = torch.optim.Adam(
        [{"params": actor.parameters()}, {"params": [log_std], "lr": 1e-2}], lr=3e-3, eps=1e-5
    )
    obs = torch.as_tensor(rng.normal(size=(16, 3)), dtype=torch.float32)
    acts = torch.as_tensor(rng.normal(size=(16, 2)), dtype=torch.float32)
    adv = torch.as_tensor(rng.normal(size=16), dtype=torch.float32)
    with torch.no_grad():
        old = Normal(actor(obs), log_std.exp().expand(16, 2)).log_prob(acts).sum(-1)
    for _ in range(4):
        dist = Normal(actor(obs), torch.exp(log_std).expand_as(actor(obs)))
        ratio = torch.exp(dist.log_prob(acts).sum(axis=-1) - old)
        clip_adv = torch.clamp(ratio, 1 - 0.2, 1 + 0.2) * adv
        loss = -(torch.min(ratio * adv, clip_adv)).mean() - 0.01 * dist.entropy().mean()
        approx_kl = (old - dist.log_prob(acts).sum(axis=-1)).mean().item()
        clipped = ratio.gt(1 + 0.2) | ratio.lt(1 - 0.2)
        clipfrac = torch.as_tensor(clipped, dtype=torch.float32).mean().item()
        opt.zero_grad()
        loss.backward()
        opt.step()
        out += [loss.item(), approx_kl, clipfrac]


def main():
    out = []
    actor_critic(out)
    dqn(out)
    ppo(out)
    return out


if __name__ == "__main__":
    main()
