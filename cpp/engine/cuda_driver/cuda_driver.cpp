// Stands in for libcuda.so, which llama.cpp's CUDA backend would otherwise name as needed: where there is no
// driver, a module that needs it could not even be imported. These look the driver up when they are first
// called, which is only after the CUDA runtime has found a device. It needs no stub library to link, either.

#include <cuda.h>
#include <dlfcn.h>

namespace {

void *driver_symbol(const char *name) {
    static void *const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    return driver ? dlsym(driver, name) : nullptr;
}

// Calls the driver's function of the type of `Declared`. The symbol is looked up once for each.
template <auto Declared, typename... Arguments> CUresult forward(const char *name, Arguments... arguments) {
    static const auto function = reinterpret_cast<decltype(Declared)>(driver_symbol(name));
    return function ? function(arguments...) : CUDA_ERROR_SHARED_OBJECT_INIT_FAILED;
}

} // namespace

// What ggml-cuda uses of the driver.
extern "C" {

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    return forward<&cuDeviceGet>("cuDeviceGet", device, ordinal);
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    return forward<&cuDeviceGetAttribute>("cuDeviceGetAttribute", value, attribute, device);
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    const CUresult result = forward<&cuGetErrorString>("cuGetErrorString", error, text);
    if (result == CUDA_ERROR_SHARED_OBJECT_INIT_FAILED) {
        *text = "no NVIDIA driver"; // callers print it without looking at the result
    }
    return result;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t size) {
    return forward<&cuMemAddressFree>("cuMemAddressFree", address, size);
}

CUresult cuMemAddressReserve(CUdeviceptr *address, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
    return forward<&cuMemAddressReserve>("cuMemAddressReserve", address, size, alignment, hint, flags);
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t size, const CUmemAllocationProp *properties,
                     unsigned long long flags) {
    return forward<&cuMemCreate>("cuMemCreate", handle, size, properties, flags);
}

CUresult cuMemGetAllocationGranularity(size_t *granularity, const CUmemAllocationProp *properties,
                                       CUmemAllocationGranularity_flags option) {
    return forward<&cuMemGetAllocationGranularity>("cuMemGetAllocationGranularity", granularity, properties,
                                                   option);
}

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
    return forward<&cuMemMap>("cuMemMap", address, size, offset, handle, flags);
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
    return forward<&cuMemRelease>("cuMemRelease", handle);
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc *accesses, size_t count) {
    return forward<&cuMemSetAccess>("cuMemSetAccess", address, size, accesses, count);
}

CUresult cuMemUnmap(CUdeviceptr address, size_t size) {
    return forward<&cuMemUnmap>("cuMemUnmap", address, size);
}

} // extern "C"
