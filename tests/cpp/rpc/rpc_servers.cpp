// Makes devices of the servers in the environment variable RPC_DEVICES ("127.0.0.1:4711,127.0.0.1:4712") when
// the module is loaded.
#include <cstdlib>
#include <sstream>
#include <string>

#include "ggml-backend.h"
#include "ggml-rpc.h"

namespace {

bool add_servers() {
    const char *listed = std::getenv("RPC_DEVICES");
    std::istringstream endpoints(listed == nullptr ? "" : listed);
    for (std::string endpoint; std::getline(endpoints, endpoint, ',');) {
        ggml_backend_register(ggml_backend_rpc_add_server(endpoint.c_str()));
    }
    return true;
}

[[maybe_unused]] const bool added = add_servers();

} // namespace
