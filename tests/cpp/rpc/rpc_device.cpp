// Serves the processors as a GPU with little memory: rpc_device CAPACITY [REPORTED]
//
// Allocations beyond CAPACITY bytes fail. REPORTED is what the device says that it has, where that is
// something else: another program may take what was free a moment ago. Prints "port N", and serves one client
// after the other until it is ended.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-rpc.h"

namespace {

std::size_t capacity = 0;
std::size_t reported = 0;
std::atomic<std::size_t> taken{0};

ggml_backend_device processors;  // what the device computes with
ggml_backend_device device;      // the same, with the memory that it was told to have
ggml_backend_buffer_type memory; // of `device`
void (*free_cpu_buffer)(ggml_backend_buffer_t) = nullptr;

void free_buffer(ggml_backend_buffer_t buffer) {
    taken -= buffer->size;
    free_cpu_buffer(buffer);
}

ggml_backend_buffer_t allocate(ggml_backend_buffer_type_t /*type*/, std::size_t size) {
    if (taken + size > capacity) {
        return nullptr;
    }
    ggml_backend_buffer_t buffer = ggml_backend_buft_alloc_buffer(ggml_backend_cpu_buffer_type(), size);
    if (buffer != nullptr) {
        taken += buffer->size;
        free_cpu_buffer = buffer->iface.free_buffer;
        buffer->iface.free_buffer = free_buffer;
        buffer->buft = &memory;
    }
    return buffer;
}

void tell_memory(ggml_backend_dev_t /*device*/, std::size_t *free, std::size_t *total) {
    *total = reported;
    *free = reported - std::min(reported, taken.load());
}

ggml_backend_t start(ggml_backend_dev_t /*device*/, const char *params) {
    ggml_backend_t backend = processors.iface.init_backend(&processors, params);
    backend->device = &device;
    return backend;
}

void make_device() {
    processors = *ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    memory = *ggml_backend_cpu_buffer_type();
    memory.iface.alloc_buffer = allocate;
    memory.device = &device;
    device = processors;
    device.iface.get_memory = tell_memory;
    device.iface.init_backend = start;
    device.iface.get_buffer_type = [](ggml_backend_dev_t) { return &memory; };
}

// The server binds port 0 and does not say what it got; it is the only socket here that listens.
int listening_port() {
    for (int fd = 3; fd < 64; ++fd) {
        int listens = 0;
        socklen_t size = sizeof(listens);
        sockaddr_in address{};
        socklen_t length = sizeof(address);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0 &&
            getsockname(fd, reinterpret_cast<sockaddr *>(&address), &length) == 0) {
            return ntohs(address.sin_port);
        }
    }
    return 0;
}

void announce() {
    int port = 0;
    while ((port = listening_port()) == 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    std::printf("port %d\n", port);
    std::fflush(stdout);
}

} // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s CAPACITY [REPORTED]\n", argv[0]);
        return 2;
    }
    capacity = std::strtoull(argv[1], nullptr, 10);
    reported = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : capacity;
    make_device();
    std::thread(announce).detach();
    std::array<ggml_backend_dev_t, 1> devices{&device};
    ggml_backend_rpc_start_server("127.0.0.1:0", /*cache_dir=*/nullptr, /*n_threads=*/1, devices.size(),
                                  devices.data());
    return 1; // it returns only where it cannot serve
}
