#include "llama/model_loading.h"

#include <string>

#include "llama.h"

#include "core/errors.h"
#include "llama/devices.h"
#include "llama/llama_log.h"

#include "../src/llama-model.h" // from where llama.h lies: no other header says where a layer is

namespace llamad {

namespace {

llama_split_mode split_mode(const std::string &name) {
    return name == "row"      ? LLAMA_SPLIT_MODE_ROW
           : name == "tensor" ? LLAMA_SPLIT_MODE_TENSOR
                              : LLAMA_SPLIT_MODE_LAYER;
}

} // namespace

void ModelDeleter::operator()(llama_model *model) const { llama_model_free(model); }

ModelPtr load_model(const EngineConfig &config, const LoadProgress &progress, ModelWeights weights) {
    std::vector<ggml_backend_dev_t> devices = gpus_for(config);
    const bool has_gpus = !devices.empty();
    const std::string where = has_gpus ? "; to be loaded on " + shown(devices) : "";
    devices.push_back(nullptr); // ends the list
    std::vector<float> tensor_split = config.tensor_split;
    tensor_split.resize(llama_max_devices());

    llama_model_params params = llama_model_default_params();
    params.devices = devices.data();
    params.n_gpu_layers = has_gpus ? config.n_gpu_layers.value_or(-1) : 0;
    // Not "none", of which the list is the one GPU: layers are split among those that are in it.
    params.split_mode = has_gpus ? split_mode(config.split_mode) : LLAMA_SPLIT_MODE_LAYER;
    params.tensor_split = config.tensor_split.empty() ? nullptr : tensor_split.data();
    params.load_mode = config.use_mmap ? LLAMA_LOAD_MODE_AUTO : LLAMA_LOAD_MODE_NONE;
    if (weights == ModelWeights::kNone) {
        params.no_alloc = true;
        params.load_mode = LLAMA_LOAD_MODE_NONE; // there is nothing to map
    }
    if (progress) {
        params.progress_callback = [](float fraction, void *user_data) {
            return (*static_cast<const LoadProgress *>(user_data))(fraction);
        };
        // llama.cpp does not keep the pointer beyond the call below.
        params.progress_callback_user_data = const_cast<LoadProgress *>(&progress);
    }
    const LogErrors errors;
    ModelPtr model(llama_model_load_from_file(config.model_path.c_str(), params));
    if (model == nullptr) {
        throw ModelLoadError("cannot load " + config.model_path + ": " + errors.text("loading was given up") +
                             where);
    }
    return model;
}

std::vector<ggml_backend_device *> devices_of_layers(const llama_model &model) {
    std::vector<ggml_backend_device *> devices(model.hparams.n_layer_all + 1, model.dev_output());
    for (std::uint32_t layer = 0; layer < model.hparams.n_layer_all; ++layer) {
        devices[layer] = model.dev_layer(static_cast<int>(layer));
    }
    return devices;
}

} // namespace llamad
