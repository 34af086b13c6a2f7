"""Demo corpora: small real videos of coloured shapes, annotated in the native formats of published sets.

They replace downloads: readers get the same files as from the published sets. ``write_corpora`` makes

    <root>/
      llava_video/        0_30_s_{academic,youtube}_v0_1/0_30_s_{...}_{oe,mc}_v0_1_qa_processed.json
                          0_30_s_academic_v0_1/academic_source/Charades/*.mp4
                          0_30_s_youtube_v0_1/liwei_youtube_videos/videos/youtube_video_2024/ytb_*.mp4
      videorefer/         videorefer-{short-caption-500k,detailed-caption-125k,qa-75k}.json
                          videos/<id>_0:00:10.000_0:00:15.200.mp4   MeViS/train/JPEGImages/<vid>/00000.jpg
      mevis/              {train,valid_u}/{meta_expressions,mask_dict}.json
                          {train,valid_u}/JPEGImages/<vid>/00000.jpg
      st_align/           stage2.yaml  stage3.yaml  stage2/vtime.json
                          stage3/{didemo,coin,activitynet_rtl,videoqa}.json
                          videos/{InternVid,DiDeMo,COIN,ActivityNet,ShareGPT4Video}/*.mp4
      internvid_tg/       internvid_tg.json  videos/*.mp4
      mvbench/            json/<task>.json (seven tasks)  video/<folder of the task>/*.mp4
                          video/tvqa/frames_fps3_hq/<clip>/00001.jpg
      videorefer_bench/   VideoRefer-Bench-Q.json  MeViS/valid_u/JPEGImages/<vid>/00000.jpg
      charades_sta/       charades_sta_test.txt  Charades_v1_480/<VID>.mp4
      ufvideo_bench/      PixRQA.json  PixHQA_time_period.json  PixHQA_single_time.json  PixTRQA.json
                          Panda-70M-part/*.mp4
      corpora_summary.json   counts, and the records that were broken on purpose: for tests, not for readers

Training corpora share their scenes, so the same objects are asked about in several ways; benchmarks have
scenes of their own. Everything is a function of ``DemoConfig`` alone.
"""
