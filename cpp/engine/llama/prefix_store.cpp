#include "llama/prefix_store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "core/host_memory.h"
#include "llama/llama_log.h"
#include "llama/model_file.h"

namespace llamad {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// FNV-1a; two models are not told apart against an adversary, who could as well change the model.
void mix(std::uint64_t &hash, std::span<const char> bytes) {
    for (const char byte : bytes) {
        hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211U;
    }
}

// Metadata and samples of the weights: reading all of a model of 40 GB would take longer than loading it.
std::uint64_t fingerprint(const std::string &path) {
    constexpr std::size_t kHead = kMiB;
    constexpr std::size_t kSamples = 256;
    constexpr std::size_t kSampleSize = 4096;
    const auto size = static_cast<std::size_t>(fs::file_size(path));
    std::uint64_t hash = 14695981039346656037U ^ size;
    std::ifstream file(path, std::ios::binary);
    std::vector<char> buffer(kHead);
    const auto mix_at = [&](std::size_t offset, std::size_t n) {
        file.clear();
        file.seekg(static_cast<std::streamoff>(offset));
        file.read(buffer.data(), static_cast<std::streamsize>(n));
        mix(hash, std::span(buffer).first(static_cast<std::size_t>(file.gcount())));
    };
    mix_at(0, kHead);
    for (std::size_t i = 0; i < kSamples; ++i) {
        mix_at(size / kSamples * i, kSampleSize);
    }
    return hash;
}

} // namespace

std::size_t prefix_cache_bytes(std::int32_t prefix_cache_mib) {
    if (prefix_cache_mib >= 0) {
        return static_cast<std::size_t>(prefix_cache_mib) * kMiB;
    }
    return std::min(static_cast<std::size_t>(host_memory().free) / 4, 8192 * kMiB);
}

std::string kv_state_identity(const EngineConfig &config) {
    std::ostringstream identity;
    identity << std::setprecision(std::numeric_limits<float>::max_digits10) << "llama.cpp "
             << LLAMAD_LLAMA_CPP_COMMIT << std::hex;
    for (const std::string &part : model_file_parts(config.model_path)) {
        identity << ", model " << fingerprint(part);
    }
    for (const LoraAdapter &adapter : config.lora_adapters) {
        if (adapter.scale != 0) { // else it changes nothing
            identity << ", adapter " << fingerprint(adapter.path) << " by " << adapter.scale;
        }
    }
    identity << std::dec << ", cache " << config.cache_type_k << ' ' << config.cache_type_v << ", flash_attn "
             << config.flash_attn << ", unified " << config.kv_unified << ", swa_full " << config.swa_full
             << ", rope " << config.rope_scaling << ' ' << config.rope_scale << ' ' << config.rope_freq_base
             << ' ' << config.rope_freq_scale << ", yarn " << config.yarn_orig_ctx << ' '
             << config.yarn_ext_factor << ' ' << config.yarn_attn_factor << ' ' << config.yarn_beta_fast
             << ' ' << config.yarn_beta_slow << ", gpu layers "
             << (config.n_gpu_layers ? std::to_string(*config.n_gpu_layers) : "auto");
    return identity.str();
}

MakeStore prefix_store(const EngineConfig &config, const RunnerLimits &limits) {
    const HostStore::Limits store_limits{.max_bytes = prefix_cache_bytes(config.prefix_cache_mib),
                                         .can_trim = limits.can_trim_states};
    if (config.prefix_cache_dir.empty()) {
        return [store_limits](const std::function<void()> &) {
            return std::make_unique<HostStore>(store_limits);
        };
    }
    return [store_limits, directory = config.prefix_cache_dir,
            identity = kv_state_identity(config)](std::function<void()> wake) {
        try {
            auto disk = std::make_unique<DiskStore>(
                DiskStore::Options{.directory = directory,
                                   .identity = identity,
                                   .max_bytes = 4 * store_limits.max_bytes,
                                   .on_ready = std::move(wake),
                                   .on_warning = [](const std::string &line) { log_warning(line); }});
            return std::make_unique<HostStore>(store_limits, std::move(disk));
        } catch (const std::system_error &error) {
            throw ParameterError("prefix_cache_dir",
                                 "prefix_cache_dir " + directory + " cannot be used: " + error.what());
        }
    };
}

} // namespace llamad
