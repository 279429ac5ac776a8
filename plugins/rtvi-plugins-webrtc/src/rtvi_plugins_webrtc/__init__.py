"""WebRTC for bots: the SmallWebRTC transport of the published RTVI clients, as routes of `rtvi run --plugin webrtc`."""
