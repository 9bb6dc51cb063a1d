#include "attention/operands.h"

#include <cmath>

#include "attention/lanes.h"

#ifdef LLAMAD_LANES
namespace llamad::attention {
namespace {

template <class T, class Tensor> T *at(Tensor *tensor, std::size_t i1, std::size_t i2, std::size_t i3) {
    const std::size_t offset = i1 * tensor->nb[1] + i2 * tensor->nb[2] + i3 * tensor->nb[3];
    return reinterpret_cast<T *>(static_cast<char *>(tensor->data) + offset);
}

int size(const ggml_tensor *tensor, int dimension) { return static_cast<int>(tensor->ne[dimension]); }

bool rows_of(const ggml_tensor *tensor, ggml_type type) {
    return tensor->type == type && tensor->nb[0] == ggml_type_size(type);
}

} // namespace

Operands::Operands(ggml_tensor *node)
    : key_size(size(node->src[1], 0)), value_size(size(node->src[2], 0)), n_tokens(size(node->src[0], 1)),
      n_streams(size(node->src[0], 3)), n_cells(size(node->src[1], 1)), n_kv_heads(size(node->src[1], 2)),
      group(size(node->src[0], 2) / n_kv_heads), queries_(node->src[0]), keys_(node->src[1]),
      values_(node->src[2]), mask_(node->src[3]), sinks_(node->src[4]), outputs_(node) {
    const auto *parameters = reinterpret_cast<const float *>(node->op_params);
    scale = parameters[0];
    max_bias_ = parameters[1];
    softcap_ = parameters[2];
}

bool Operands::are_ours() const {
    return rows_of(queries_, GGML_TYPE_F32) && rows_of(keys_, GGML_TYPE_F16) &&
           rows_of(values_, GGML_TYPE_F16) && (mask_ == nullptr || rows_of(mask_, GGML_TYPE_F16)) &&
           softcap_ == 0.0F && key_size % kLanes == 0 && value_size % kLanes == 0 &&
           queries_->ne[2] % n_kv_heads == 0 && values_->ne[2] == n_kv_heads && keys_->ne[3] == n_streams &&
           values_->ne[3] == n_streams;
}

Cells Operands::cells(int stream, int kv_head) const {
    return {at<const std::uint16_t>(keys_, 0, kv_head, stream),
            at<const std::uint16_t>(values_, 0, kv_head, stream),
            keys_->nb[1] / sizeof(std::uint16_t),
            values_->nb[1] / sizeof(std::uint16_t),
            key_size,
            value_size};
}

const float *Operands::query(int stream, int kv_head, int row) const {
    return at<const float>(queries_, row / group, head_of(kv_head, row), stream);
}

float *Operands::output(int stream, int kv_head, int row) const { // heads and tokens change places here
    return at<float>(outputs_, head_of(kv_head, row), row / group, stream);
}

const std::uint16_t *Operands::mask(int stream, int kv_head, int row) const {
    return mask_ == nullptr
               ? nullptr
               : at<const std::uint16_t>(mask_, row / group, head_of(kv_head, row) % mask_->ne[2],
                                         stream % mask_->ne[3]);
}

float Operands::slope(int kv_head, int row) const {
    if (max_bias_ <= 0.0F) {
        return 1.0F;
    }
    // Press et al., "Train Short, Test Long": a geometric sequence over the heads up to a power of two; those
    // beyond it stand between them.
    const int head = head_of(kv_head, row);
    const int power_of_two = 1 << static_cast<int>(std::log2(n_kv_heads * group));
    const float exponent =
        head < power_of_two ? static_cast<float>(head + 1) : static_cast<float>(head - power_of_two) + 0.5F;
    return std::exp2(-max_bias_ / static_cast<float>(power_of_two) * exponent);
}

const float *Operands::sink(int kv_head, int row) const {
    return sinks_ == nullptr ? nullptr : static_cast<const float *>(sinks_->data) + head_of(kv_head, row);
}

} // namespace llamad::attention
#endif
