/* A stand-in for NVIDIA's management library, which has the GPUs that the file named by FAKE_NVML lists.
 *
 * A line of the file is a key and its value. `gpu` begins a GPU and `slice` a MIG instance of the GPU before it; the keys
 * after it are its own. `tests.machine.fake_nvml` writes such files, and says what each key means. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
enum { MOST = 8, TEXT = 128 };

typedef struct Device {
  char uuid[TEXT], name[TEXT], bus[TEXT], energy[TEXT];
  struct Device *parent;
  int memory_mib, major, minor, ecc, mig, power_limit_w, watts, step_ms, reasons, throttled_percent, held_back_percent;
  int sm_clock_mhz, temperature_c, pcie_generation, pcie_width, pids[MOST], processes;
} Device;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char full[32]; } Pci;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned long long reference, violation; } Violation;

static Device devices[MOST], slices[MOST];
static int init, cuda, device_count, slice_count;
static char driver[TEXT];

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void read_line(const char *key, const char *value) {
  static Device *device;
  if (!strcmp(key, "init")) init = atoi(value);
  else if (!strcmp(key, "driver")) strcpy(driver, value);
  else if (!strcmp(key, "cuda")) cuda = atoi(value);
  else if (!strcmp(key, "gpu")) device = &devices[device_count++];
  else if (!strcmp(key, "slice")) { device = &slices[slice_count++]; device->parent = &devices[device_count - 1]; }
  else if (!strcmp(key, "uuid")) strcpy(device->uuid, value);
  else if (!strcmp(key, "name")) strcpy(device->name, value);
  else if (!strcmp(key, "bus")) strcpy(device->bus, value);
  else if (!strcmp(key, "energy")) strcpy(device->energy, value);
  else if (!strcmp(key, "capability")) sscanf(value, "%d.%d", &device->major, &device->minor);
  else if (!strcmp(key, "pid")) device->pids[device->processes++] = atoi(value);
#define NUMBER(field) else if (!strcmp(key, #field)) device->field = atoi(value);
  NUMBER(memory_mib) NUMBER(ecc) NUMBER(mig) NUMBER(power_limit_w) NUMBER(watts) NUMBER(step_ms) NUMBER(reasons)
  NUMBER(throttled_percent) NUMBER(held_back_percent) NUMBER(sm_clock_mhz) NUMBER(temperature_c)
  NUMBER(pcie_generation) NUMBER(pcie_width)
}

int nvmlInitWithFlags(unsigned flags) {
  char line[2 * TEXT], key[TEXT], value[TEXT];
  FILE *file = fopen(getenv("FAKE_NVML") ? getenv("FAKE_NVML") : "", "r");
  if (!file) return 9; /* driver not loaded */
  memset(devices, 0, sizeof devices), memset(slices, 0, sizeof slices);
  init = cuda = device_count = slice_count = 0;
  while (fgets(line, sizeof line, file)) {
    value[0] = 0;
    if (sscanf(line, "%127s %127[^\n]", key, value) >= 1) read_line(key, value);
  }
  fclose(file);
  return init;
}
int nvmlShutdown(void) { return SUCCESS; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) { strncpy(version, driver, length); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = cuda; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = device_count; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
  *device = &devices[index];
  return index < (unsigned)device_count ? SUCCESS : NOT_FOUND;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
  for (int i = 0; i < device_count; i++) if (!strcmp(devices[i].uuid, uuid)) return *device = &devices[i], SUCCESS;
  for (int i = 0; i < slice_count; i++) if (!strcmp(slices[i].uuid, uuid)) return *device = &slices[i], SUCCESS;
  return NOT_FOUND;
}
int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned length) { strncpy(uuid, device->uuid, length); return SUCCESS; }
int nvmlDeviceGetName(Device *device, char *name, unsigned length) { strncpy(name, device->name, length); return SUCCESS; }
int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci) {
  memset(pci, 0, sizeof *pci);
  sscanf(device->bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
  strncpy(pci->full, device->bus, sizeof pci->full - 1);
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
  memory->total = device->memory_mib * 1048576ULL, memory->used = 0, memory->free = memory->total;
  return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
  if (device->parent) device = device->parent;
  *major = device->major, *minor = device->minor;
  return device->major ? SUCCESS : NOT_SUPPORTED;
}

/* What an instance of a GPU does not report, and neither does a GPU whose value is negative. */
static int of_whole(Device *device, int value, unsigned *into) {
  *into = value;
  return device->parent || value < 0 ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
  *pending = device->mig;
  return of_whole(device, device->mig, current);
}
int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) { *count = MOST; return SUCCESS; }
int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **slice) {
  for (int i = 0; i < slice_count; i++)
    if (slices[i].parent == device && !index--) return *slice = &slices[i], SUCCESS;
  return NOT_FOUND;
}
int nvmlDeviceGetEccMode(Device *device, unsigned *current, unsigned *pending) {
  *pending = device->ecc;
  return of_whole(device, device->ecc, current);
}
int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *milliwatts) {
  return of_whole(device, device->power_limit_w * 1000, milliwatts);
}
int nvmlDeviceGetMaxPcieLinkGeneration(Device *device, unsigned *generation) {
  return of_whole(device, device->pcie_generation, generation);
}
int nvmlDeviceGetMaxPcieLinkWidth(Device *device, unsigned *width) { return of_whole(device, device->pcie_width, width); }
int nvmlDeviceGetPowerUsage(Device *device, unsigned *milliwatts) {
  return of_whole(device, device->watts * 1000, milliwatts);
}
int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *celsius) {
  return of_whole(device, device->temperature_c, celsius);
}
int nvmlDeviceGetClockInfo(Device *device, int kind, unsigned *mhz) { return of_whole(device, device->sm_clock_mhz, mhz); }

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, Process *processes) {
  if ((int)*count < device->processes) return *count = device->processes, INSUFFICIENT_SIZE;
  *count = device->processes;
  for (int i = 0; i < device->processes; i++) processes[i] = (Process){.pid = device->pids[i]};
  return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(Device *device, unsigned long long *millijoules) {
  static long long calls;
  long long step_ms = device->step_ms > 0 ? device->step_ms : 1;
  if (device->parent || !strcmp(device->energy, "none")) return NOT_SUPPORTED;
  *millijoules = 1000000000000LL + now_ms() / step_ms * step_ms * device->watts;
  if (!strcmp(device->energy, "still")) *millijoules = 1000;
  if (!strcmp(device->energy, "backwards")) *millijoules -= 2 * device->watts * step_ms * 1000 * ++calls;
  return SUCCESS;
}
/* A GPU is throttled in the first part of every 200 ms, and held back for a share of all time. */
int nvmlDeviceGetCurrentClocksEventReasons(Device *device, unsigned long long *reasons) {
  *reasons = now_ms() % 200 < 2 * device->throttled_percent ? device->reasons : 0;
  return device->parent ? NOT_SUPPORTED : SUCCESS;
}
int nvmlDeviceGetViolationStatus(Device *device, int policy, Violation *violation) {
  violation->reference = now_ms() * 1000;
  violation->violation = policy == 1 ? now_ms() * 10000ULL * device->held_back_percent : 0; /* 1: by temperature */
  return device->parent ? NOT_SUPPORTED : SUCCESS;
}
