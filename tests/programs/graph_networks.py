"""A graph convolution and graph attention on a dense adjacency matrix, and messages by scattering."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.nn.modules.module import Module
from torch.nn.parameter import Parameter


class GraphConvolution(Module):
    def __init__(self, in_features, out_features, bias=True):
        super(GraphConvolution, self).__init__()
        self.weight = Parameter(torch.FloatTensor(in_features, out_features))
        if bias:
            self.bias = Parameter(torch.FloatTensor(out_features))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        support = torch.mm(input, self.weight)
        output = torch.mm(adj, support)
        return output + self.bias if self.bias is not None else output


class GraphAttentionLayer(nn.Module):
    def __init__(self, in_features, out_features, n_heads, concat=False, dropout=0.0, leaky_relu_slope=0.2):
        super(GraphAttentionLayer, self).__init__()
        self.n_heads, self.concat, self.dropout = n_heads, concat, dropout
        self.n_hidden = out_features // n_heads if concat else out_features
        self.W = nn.Parameter(torch.empty(size=(in_features, self.n_hidden * n_heads)))
        self.a = nn.Parameter(torch.empty(size=(n_heads, 2 * self.n_hidden, 1)))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.softmax = nn.Softmax(dim=1)
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def _get_attention_scores(self, h_transformed):
        source_scores = torch.matmul(h_transformed, self.a[:, : self.n_hidden, :])
        target_scores = torch.matmul(h_transformed, self.a[:, self.n_hidden :, :])
        return self.leakyrelu(source_scores + target_scores.mT)

    def forward(self, h, adj_mat):
        n_nodes = h.shape[0]
        h_transformed = F.dropout(torch.mm(h, self.W), self.dropout, training=self.training)
        h_transformed = h_transformed.view(n_nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        e = self._get_attention_scores(h_transformed)
        connectivity_mask = -9e16 * torch.ones_like(e)
        e = torch.where(adj_mat > 0, e, connectivity_mask)
        attention = F.softmax(e, dim=-1)
        attention = F.dropout(attention, self.dropout, training=self.training)
        h_prime = torch.matmul(attention, h_transformed)
        if self.concat:
            return h_prime.permute(1, 0, 2).contiguous().view(n_nodes, -1)
        return h_prime.mean(dim=0)


def main():
    rng = np.random.default_rng(0)
    n = 12
    edges = np.unique(rng.integers(0, n, (40, 2)), axis=0)
    adj = torch.zeros(n, n)
    src, dst = torch.from_numpy(edges).t()
    adj[src, dst] = 1.0
    adj = torch.maximum(adj, adj.t()) + torch.eye(n)
    adj_mat = adj.clamp_(max=1)
    d_inv_sqrt = torch.pow(adj_mat.sum(1), -0.5).flatten()
    d_inv_sqrt[torch.isinf(d_inv_sqrt)] = 0.0
    d_mat = torch.diag(d_inv_sqrt)
    norm_adj = d_mat @ adj_mat @ d_mat
    features = torch.from_numpy(rng.normal(size=(n, 5))).to(torch.float32)
    labels = torch.LongTensor(rng.integers(0, 3, n))
    idx_train, idx_val = torch.arange(8), torch.LongTensor(range(8, n))

    class GCN(nn.Module):
        def __init__(self):
            super().__init__()
            self.gc1, self.gc2 = GraphConvolution(5, 8), GraphConvolution(8, 3)

        def forward(self, x, adj):
            return F.log_softmax(self.gc2(F.relu(self.gc1(x, adj)), adj), dim=1)

    class GAT(nn.Module):
        def __init__(self):
            super().__init__()
            self.gat1 = GraphAttentionLayer(5, 8, 2, concat=True)
            self.gat2 = GraphAttentionLayer(8, 3, 1, concat=False)

        def forward(self, x, adj):
            return F.log_softmax(self.gat2(F.elu(self.gat1(x, adj)), adj), dim=1)

    out = []
    for net, a in ((GCN(), norm_adj), (GAT(), adj_mat)):
        for p in net.parameters():
            p.data = torch.from_numpy(rng.normal(0, 0.4, tuple(p.shape)).astype(np.float32))
        optimizer = optim.Adam(net.parameters(), lr=0.02, weight_decay=5e-4)
        for epoch in range(4):
            net.train()
            optimizer.zero_grad()
            output = net(features, a)
            loss = F.nll_loss(output[idx_train], labels[idx_train])
            preds = output[idx_train].max(1)[1].type_as(labels)
            acc = preds.eq(labels[idx_train]).double().sum() / len(idx_train)
            loss.backward()
            optimizer.step()
            out += [loss.item(), float(acc)]
        net.eval()
        out.append(F.nll_loss(net(features, a)[idx_val], labels[idx_val]).item())
    # message passing with scatter
    h = features.clone().requires_grad_()
    agg = torch.zeros_like(h).index_add_(0, dst, h[src])
    deg = torch.zeros(n).scatter_add_(0, dst, torch.ones(dst.numel())).clamp(min=1)
    alpha = torch.zeros(n, 5).scatter_reduce(
        0, dst[:, None].expand(-1, 5), h[src], reduce="amax", include_self=False
    )
    (agg / deg[:, None] + alpha).pow(2).sum().backward()
    out.append(h.grad.norm().item())
    return out


if __name__ == "__main__":
    main()
