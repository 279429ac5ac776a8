"""WebRTC for bots: routes for the SmallWebRTC transport of the published RTVI clients.

Use it with `rtvi run --plugin webrtc`::

    routes        the HTTP routes: start, offer, candidates
    errors        the errors of this transport
    _session      connect a session to its client, over one peer connection after the other
    _peer         one peer connection
    _audio_track  the bot's audio as a track, and received frames as audio
    _signalling   messages on the data channel that are not RTVI
    _sdp          check offers
    _bodies       read request bodies
    _ice          the operator's ICE servers
"""
