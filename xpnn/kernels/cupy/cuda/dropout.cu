// Dropout with the numbers of the counter-based stream that all backends share.
//
// See: Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3" (Threefry-2x32-20).

__device__ __forceinline__ unsigned turned(unsigned x, int bits) { return x << bits | x >> (32 - bits); }

// Whether the upper 24 bits of each word are `steps` or more; a thread makes two words, half of the mask apart.
// The count of draws is a number, or lies on the device.
extern "C" __global__ void threefry_mask(unsigned char* __restrict__ mask, I size, unsigned key0, unsigned key1, unsigned key2, unsigned counter, unsigned steps, const int* __restrict__ counter_there) {
    if (counter_there) counter = *counter_there;
    const int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const unsigned key[3] = {key0, key1, key2};
    I blocks = (size + 1) / 2;
    FOR_ALL(i, blocks) {
        unsigned x0 = counter + key0, x1 = (unsigned)i + key1;
#pragma unroll
        for (int group = 0; group < 5; ++group) {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                x0 += x1;
                x1 = turned(x1, rotations[group % 2][k]) ^ x0;
            }
            x0 += key[(group + 1) % 3];
            x1 += key[(group + 2) % 3] + group + 1;
        }
        mask[i] = x0 >> 8 >= steps;
        if (blocks + i < size) mask[blocks + i] = x1 >> 8 >= steps;
    }
}

extern "C" __global__ void dropout(const T* __restrict__ x, const unsigned char* __restrict__ keep, T* __restrict__ y, I size, A scale) {
    FOR_ALL(i, size) write(y, i, read(x, i) * (keep[i] ? scale : 0));
}
